"""The registry's schemas with their ids, which stand in the first bytes of every record."""

import io
import json
from typing import Any

import aiohttp
import fastavro

_MEDIA_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


async def stored_schemas(url: str) -> list[dict[str, Any]]:
    """Every version of every subject, in the order of their ids."""
    found = []
    async with aiohttp.ClientSession() as session:
        for subject in await _json(session, f"{url}/subjects"):
            for number in await _json(session, f"{url}/subjects/{subject}/versions"):
                version = await _json(session, f"{url}/subjects/{subject}/versions/{number}")
                found.append({"subject": subject, "id": version["id"], "schema": version["schema"]})
    return sorted(found, key=lambda each: (each["id"], each["subject"]))


async def register(url: str, schemas: list[dict[str, Any]]) -> None:
    """Register them in an empty registry under their ids. Raises AssertionError where it gives another one.

    It counts ids from 1, and one text has one id. Ids that were lost when workers registered a schema at once go to
    fillers; a subject whose text has its id already comes last, for it may cost another one.
    """
    first = {each["id"]: each for each in reversed(schemas)}
    again = [each for each in schemas if first[each["id"]] is not each]
    last = 0
    async with aiohttp.ClientSession() as session:
        for each in [*(first[schema_id] for schema_id in sorted(first)), *again]:
            while last < each["id"] - 1:
                last += 1
                filler = {"type": "record", "name": f"filler_{last}", "fields": []}
                assert await _post(session, url, f"filler-{last}", json.dumps(filler)) == last
            got = await _post(session, url, each["subject"], each["schema"])
            assert got == each["id"], f"{each['subject']} has id {got}, not {each['id']}"
            last = max(last, got)


class Reader:
    """Reads records in the Confluent wire format, as any program does that knows the registry."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._schemas: dict[int, Any] = {}

    async def read(self, value: bytes) -> dict[str, Any]:
        """The record's fields."""
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            async with aiohttp.ClientSession() as session:
                answer = await _json(session, f"{self._url}/schemas/ids/{schema_id}")
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(answer["schema"]))
        record = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)
        assert isinstance(record, dict)
        return record


async def _post(session: aiohttp.ClientSession, url: str, subject: str, schema: str) -> int:
    address = f"{url}/subjects/{subject}/versions"
    async with session.post(address, json={"schema": schema}, headers=_MEDIA_TYPE) as answer:
        assert answer.status == 200, f"{subject}: {await answer.text()}"
        return int((await answer.json(content_type=None))["id"])


async def _json(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        assert answer.status == 200, f"{url}: {answer.status}"
        return await answer.json(content_type=None)
