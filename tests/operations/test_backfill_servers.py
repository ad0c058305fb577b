"""A call whose first rows were missed, on real servers: dead letters, the command that they name, the right result."""

# ruff: noqa: S608 (the names in the statements are the test's own)

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from connectors.apply import apply_source
from deploy.demo.recordings import Case, read_recordings
from schemas import SchemaRegistry, written_as
from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.cli.command_line import command_line
from streams.operations.cel_table import TableCall, calls_begun, calls_named
from streams.rows.row import RowDecoder
from streams.rules import load_rules
from streams.sources.window import Bound
from tests.connectors.installation import TEXTS, Installation, installed
from tests.worker_installation import Tail

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers


def insert(pbx: Installation, rows: Sequence[Mapping[str, str]]) -> None:
    """Rows as Asterisk wrote them, with ids of their own."""
    names = ("eventtype", "eventtime", "amaflags", "uniqueid", "linkedid", *TEXTS)
    sql = f"INSERT INTO {pbx.name}.cel ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
    for row in rows:
        pbx.root(sql, values=[row.get(name) or "" for name in names])


def recorded(name: str) -> Case:
    return next(each for each in read_recordings() if each.name == name)


def settings_file(pbx: Installation, directory: Path) -> Path:
    """The installation's settings as a file."""
    tree = json.loads(pbx.settings.model_dump_json(exclude_unset=True))
    tree["database"]["password"] = pbx.stack.endpoints.secret("cel.password")
    tree["aggregate"] = {"flush_seconds": 0.5, "snapshot_seconds": 0.5}
    file = directory / "cel2crm.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return file


def start_worker(file: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "streams.cli.main", "worker", "aggregate", "--settings", str(file)]
    with (file.parent / "worker.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


@asynccontextmanager
async def aggregating(file: Path) -> AsyncIterator[None]:
    """The aggregate worker."""
    worker = start_worker(file)
    try:
        yield
    finally:
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 40) == 0


async def told(file: Path, *command: str) -> str:
    """What a command that works says."""
    done = await asyncio.to_thread(CliRunner().invoke, command_line(), [*command, "--settings", str(file)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


async def groups(file: Path) -> list[dict[str, Any]]:
    listed = await told(file, "dead-letters", "list", "--component", "aggregate", "--calls", "--json")
    return [json.loads(line) for line in listed.splitlines()]


def expected(pbx: Installation, case: Case) -> dict[str, Any]:
    """The result of a pure run over all rows of the call, with the whole seconds of FreePBX's column."""
    call, decoder = Call(pbx.name, case.linkedids[0]), RowDecoder()
    for number, row in enumerate(case.rows, start=1):
        call.add(decoder.from_columns({**row, "id": number, "eventtime": row["eventtime"][:19]}))
    return classify(call, load_rules(pbx.settings.rules), PbxProfile.of(pbx.settings), cut_short=False).result.record()


async def test_a_call_whose_first_rows_were_missed_is_named_backfilled_and_right(
    stack: "LocalStack", tmp_path: Path
) -> None:
    case = recorded("inbound_answered_caller_hangs_up")
    (linkedid,) = case.linkedids
    half = len(case.rows) // 2
    async with installed(stack) as pbx:
        file = settings_file(pbx, tmp_path)
        insert(pbx, case.rows[:half])  # before capture began
        await apply_source(pbx.settings, lambda _: None)
        async with aggregating(file), SchemaRegistry(pbx.settings.registry.url) as registry:
            insert(pbx, case.rows[half:])
            async with asyncio.timeout(60):
                while sum(group["letters"] for group in await groups(file)) < len(case.rows) - half:  # noqa: ASYNC110
                    await asyncio.sleep(0.3)
            (group,) = await groups(file)
            assert (group["reason"], group["call_id"]) == ("late_row", f"{pbx.name}/{linkedid}")
            assert group["remedy"] == f"cel2crm backfill --call {linkedid} --pbx {pbx.name}"
            said = await told(file, *group["remedy"].split()[1:], "--by", "ann")
            assert said == "1 calls have results with all their rows\n"
            assert await groups(file) == []
            results = pbx.settings.kafka.topic("call-results")
            serializer = registry.reader(["call_result"])
            async with Tail(pbx.settings.kafka.bootstrap_servers, results) as tail:
                await tail.until_more(1)
            (record,) = tail.records
            assert serializer.decode_own(record.value, "call_result", written_as(record.headers)) == expected(pbx, case)
            assert ("origin", b"backfill") in record.headers
            assert await told(file, "backfill", "--call", linkedid) == said, "again: nothing is left to do"


async def test_the_table_tells_which_calls_are_whole_in_a_stretch(stack: "LocalStack") -> None:
    first, second = recorded("inbound_answered_caller_hangs_up"), recorded("outbound_sip_404")
    rows = [*first.rows[:-2], *second.rows, *first.rows[-2:]]
    async with installed(stack, topics=False) as pbx:
        insert(pbx, rows)
        early = TableCall(first.linkedids[0], len(first.rows), len(rows), ended=True)
        late = TableCall(second.linkedids[0], len(second.rows), len(rows) - 2, ended=True)
        begins = len(first.rows) - 1  # the second call's first row

        def begun(since: str, until: str) -> list[TableCall]:
            found = calls_begun(pbx.settings, Bound.of(since, "--since"), Bound.of(until, "--until"))
            return sorted(found, key=lambda call: -call.highest)

        assert calls_named(pbx.settings, [late.linkedid]) == [late]
        assert begun("0", "99999") == [early, late]
        assert begun("0", str(begins)) == [early], "all rows of what begins there"
        assert begun("2", "99999") == [late], "and nothing of what began before"
        assert begun("2000-01-01", "2100-01-01") == [early, late]
        assert begun(second.rows[0]["eventtime"][:19], "2100-01-01") == [late]
        assert begun("2000-01-01", second.rows[0]["eventtime"][:19]) == [early]
        assert begun("2000-01-01", "2000-01-02") == []
