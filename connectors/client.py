"""A client of Kafka Connect's REST interface, as far as our connectors need it.

Source: https://kafka.apache.org/documentation/#connect_rest
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import aiohttp

from connectors.failures import KNOWN, Failure, KnownFailure, explain, setting_of
from connectors.source import ConnectorConfig
from schemas.registry import HttpAccess, without_password
from streams.errors import UserError
from streams.tls_failures import tls_failure

REBALANCE_TRIES = 20
"""Connect refuses while its workers share the work out anew; each try waits half a second."""
_REBALANCE = "a rebalance is expected"
"""In the answer to a read meanwhile, HTTP 500; other requests are answered 409."""

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED)

STOPPED = "STOPPED"
PAUSED = "PAUSED"


class ConnectUnreachable(UserError):
    """Kafka Connect does not answer."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task: `state` as Connect names it (RUNNING, FAILED, UNASSIGNED, RESTARTING, PAUSED)."""

    number: int
    state: str
    worker: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """A connector and its tasks."""

    name: str
    state: str
    worker: str
    tasks: tuple[TaskStatus, ...]
    failure: Failure | None = None

    @property
    def running(self) -> bool:
        """Whether all of it runs; a connector without a task does not."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Failures of the connector and its tasks, the connector's own first."""
        own = (self.failure,) if self.failure else ()
        return own + tuple(task.failure for task in self.tasks if task.failure)


def describe_status(status: ConnectorStatus) -> str:
    """A connector's state in one line."""
    tasks = ", ".join(f"task {task.number} {task.state}" for task in status.tasks) or "no task yet"
    if status.state == STOPPED:
        tasks = "no tasks"
    return f"connector {status.name} {status.state}, {tasks}"


class ConnectClient:
    """Use in `async with`. Every call raises ConnectUnreachable when Connect does not answer.

    `secrets` never appear in a message, wherever they come from.
    """

    def __init__(
        self,
        url: str,
        *,
        access: HttpAccess | None = None,
        secrets: Iterable[str] = (),
        timeout_seconds: float = 60.0,
        known: Sequence[KnownFailure] = KNOWN,
    ) -> None:
        """`access`: how to log in; None: an open interface. `known`: failures of this kind of connector."""
        self.url = url.rstrip("/")
        self._access = access or HttpAccess()
        self._secrets = tuple(secrets)
        self._known = known
        # Validation connects to the database: half a minute where the database's host drops packets.
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=5)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = self._access.session(self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def validate(self, config: ConnectorConfig) -> list[str]:
        """Faults that Connect and the connector find in a configuration, a line each; empty: none.

        Debezium connects to the database for it.
        """
        plugin = config["connector.class"]
        path = f"/connector-plugins/{quote(plugin)}/config/validate"
        status, answer = await self._call("PUT", path, {"name": "validated", **config})
        if status == HTTPStatus.NOT_FOUND or (status >= 400 and "Failed to find any class" in str(answer)):
            return [f"Connect has no plugin {plugin}: put its jars under the worker's plugin.path, and restart it"]
        self._expect_success(status, answer, "validate a configuration")
        faults = []
        for entry in answer["configs"]:
            # Never the value that Connect gives back: it has the references resolved.
            field = setting_of(entry["value"]["name"], config)
            for message in entry["value"]["errors"]:
                known = explain(message, self._secrets, self._known)
                faults.append(f"{field}: {known}")
        return faults

    async def apply(self, name: str, config: ConnectorConfig) -> Literal["created", "updated", "unchanged"]:
        """Give the connector this configuration; nothing is done when it has it."""
        present = await self.config(name)
        if present is not None and {**config, "name": name} == present:
            return "unchanged"
        status, answer = await self._call("PUT", f"/connectors/{quote(name)}/config", config)
        self._expect_success(status, answer, f"apply connector {name}")
        return "created" if present is None else "updated"

    async def names(self) -> list[str]:
        """Names of all connectors."""
        status, answer = await self._call("GET", "/connectors")
        self._expect_success(status, answer, "list its connectors")
        return list(answer)

    async def config(self, name: str) -> ConnectorConfig | None:
        """The configuration that Connect has, with its references unresolved; None: no such connector."""
        status, answer = await self._call("GET", f"/connectors/{quote(name)}/config")
        if status == HTTPStatus.NOT_FOUND:
            return None
        self._expect_success(status, answer, f"read connector {name}")
        return dict(answer)

    async def status(self, name: str) -> ConnectorStatus | None:
        """None: no such connector, or one so new that Connect has no status of it yet."""
        status, answer = await self._call("GET", f"/connectors/{quote(name)}/status")
        if status == HTTPStatus.NOT_FOUND:
            return None
        self._expect_success(status, answer, f"read the status of connector {name}")
        return self._status(answer)

    async def offset(self, name: str) -> dict[str, Any] | None:
        """The stored position of the connector, as the connector itself writes it; empty: none is stored.

        None: no such connector. Stored once in Connect's `offset.flush.interval.ms` (a minute by default). Needs
        Connect 3.5.
        """
        stored = await self._stored_offsets(name)
        return None if stored is None else next((dict(each["offset"]) for each in stored), {})

    async def sink_offsets(self, name: str) -> dict[tuple[str, int], int] | None:
        """The next record of each partition (topic, number) for a sink, as far as Connect has stored it.

        None: no such connector. Stored once in Connect's `offset.flush.interval.ms`. Needs Connect 3.6.
        """
        stored = await self._stored_offsets(name)
        if stored is None:
            return None
        return {
            (each["partition"]["kafka_topic"], each["partition"]["kafka_partition"]): each["offset"]["kafka_offset"]
            for each in stored
        }

    async def _stored_offsets(self, name: str) -> list[dict[str, Any]] | None:
        """Partitions and their offsets, as Connect has stored them for the connector; None: no such connector."""
        status, answer = await self._call("GET", f"/connectors/{quote(name)}/offsets")
        if status == HTTPStatus.NOT_FOUND:
            return None
        self._expect_success(status, answer, f"read the position of connector {name}")
        return [each for each in answer["offsets"] if each["offset"]]

    async def delete_offset(self, name: str) -> None:
        """Make a stopped connector forget its position. Needs Connect 3.6."""
        status, answer = await self._call("DELETE", f"/connectors/{quote(name)}/offsets")
        self._expect_success(status, answer, f"delete the position of connector {name}")

    async def create_stopped(self, name: str, config: ConnectorConfig) -> None:
        """Create a connector without starting it. Needs Connect 3.7."""
        body = {"name": name, "config": config, "initial_state": STOPPED}
        status, answer = await self._call("POST", "/connectors", body)
        self._expect_success(status, answer, f"create connector {name}")

    async def stop(self, name: str) -> None:
        """End its tasks, and start none until `resume`; its position stays. Needs Connect 3.5."""
        status, answer = await self._call("PUT", f"/connectors/{quote(name)}/stop")
        self._expect_success(status, answer, f"stop connector {name}")

    async def resume(self, name: str) -> None:
        """Start the tasks of a connector that is stopped or paused."""
        status, answer = await self._call("PUT", f"/connectors/{quote(name)}/resume")
        self._expect_success(status, answer, f"resume connector {name}")

    async def delete(self, name: str) -> bool:
        """Delete the connector; its offsets stay: applied again, it goes on where it was. False: there was none."""
        status, answer = await self._call("DELETE", f"/connectors/{quote(name)}")
        if status == HTTPStatus.NOT_FOUND:
            return False
        self._expect_success(status, answer, f"delete connector {name}")
        return True

    async def restart(self, name: str, *, only_failed: bool = True) -> None:
        """Restart the failed parts of the connector, itself included; or all of it."""
        which = "true" if only_failed else "false"
        status, answer = await self._call(
            "POST", f"/connectors/{quote(name)}/restart?includeTasks=true&onlyFailed={which}"
        )
        self._expect_success(status, answer, f"restart connector {name}")

    def _status(self, answer: dict[str, Any]) -> ConnectorStatus:
        connector = answer["connector"]
        tasks = tuple(
            TaskStatus(task["id"], task["state"], task["worker_id"], self._failure(task)) for task in answer["tasks"]
        )
        return ConnectorStatus(
            answer["name"], connector["state"], connector["worker_id"], tasks, self._failure(connector)
        )

    def _failure(self, part: dict[str, Any]) -> Failure | None:
        return explain(part.get("trace", ""), self._secrets, self._known) if part["state"] == "FAILED" else None

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        for _ in range(REBALANCE_TRIES):
            status, answer = await self._once(method, path, body)
            expected = isinstance(answer, dict) and _REBALANCE in str(answer.get("message"))
            if status != HTTPStatus.CONFLICT and not expected:
                break
            await asyncio.sleep(0.5)
        return status, answer

    async def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Any]:
        if self._session is None:
            raise RuntimeError("ConnectClient is used outside of its `async with`")
        try:
            # Named even without a body: Connect refuses a bodyless restart otherwise (415).
            headers = {"Content-Type": "application/json"}
            data = None if body is None else json.dumps(body)
            async with self._session.request(method, self.url + path, data=data, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if tls := tls_failure(error):
                raise UserError(
                    f"Kafka Connect at {without_password(self.url)} cannot be used: {tls.problem}",
                    f"{tls.remedy} (connect.url and connect.ssl_*)",
                ) from None
            raise ConnectUnreachable(
                f"no Kafka Connect at {without_password(self.url)} ({self._access.explained(error)})",
                "Start it, or set connect.url to where its REST interface listens.",
            ) from None
        try:
            return response.status, json.loads(answer) if answer else None
        except ValueError:
            return response.status, answer[:200].decode("utf-8", "replace")

    def _expect_success(self, status: int, answer: Any, what: str) -> None:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise UserError(
                f"Kafka Connect at {without_password(self.url)} refuses the login: HTTP {status}",
                "Check connect.username and connect.password_file, and what that user may do there.",
            )
        if status >= 300 or (status not in _WITHOUT_BODY and not isinstance(answer, dict | list)):
            message = answer.get("message") if isinstance(answer, dict) else answer
            failure = explain(str(message), self._secrets, self._known)
            raise UserError(
                f"Kafka Connect at {without_password(self.url)} cannot {what}: HTTP {status}, {failure.reason}",
                failure.remedy or "Check connect.url: it must lead to Connect's REST interface; its log says more.",
            )
