"""`cel2crm backfill`: what is asked of Debezium, and what is waited for."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from streams.calls.call import version_number
from streams.cli import backfill as cli
from streams.errors import UserError
from streams.kafka.topic_client import Outgoing
from streams.operations.backfill import Waiting, already_classified, backfill, filter_of, signals_of, unread_signals
from streams.operations.cel_table import TableCall
from streams.operations.connection import Connection
from streams.settings import DatabaseSettings, PbxSettings, Settings
from tests.crm.calls import call_result
from tests.operations.memory import Operator
from tests.operations.test_dead_letters import groups, late

LINKEDID = call_result(1).linkedid
CALL = call_result(1).call_id
THREE_ROWS = TableCall(LINKEDID, 3, 30, ended=True)


# The signal.


def test_the_signal_names_the_calls_rows_and_nothing_else() -> None:
    (signal,) = signals_of(Settings(pbx=PbxSettings(name="office")), ["1795389780.12", "sys-1.2"])
    assert (signal.topic, signal.key, signal.partition) == ("cel2crm.signals", b"office", 0)
    assert json.loads(signal.value or b"") == {
        "type": "execute-snapshot",
        "data": {
            "type": "INCREMENTAL",
            "data-collections": ["asteriskcdrdb.cel"],
            "additional-conditions": [
                {"data-collection": "asteriskcdrdb.cel", "filter": "linkedid in ('1795389780.12', 'sys-1.2')"}
            ],
        },
    }


def test_the_column_has_the_name_that_the_table_gives_it() -> None:
    database = DatabaseSettings(column_name_aliases={"cel_linkedid": "link_id"})
    assert filter_of(database, ["1.1"]) == "link_id in ('1.1')"


@pytest.mark.parametrize(
    "linkedid", ["", "1.1' or '1'='1", "1.1;", "1 1", 'a"', "a`b", "a\\b", "-1", "é.1", "1\n", "1" * 151]
)
def test_what_is_no_plain_linkedid_never_comes_into_sql(linkedid: str) -> None:
    with pytest.raises(UserError) as refused:
        filter_of(DatabaseSettings(), ["1.1", linkedid])
    assert refused.value.remedy


@pytest.mark.parametrize("column", ["link id", "a`b", "x)--"])
def test_nor_does_another_name_of_a_column(column: str) -> None:
    with pytest.raises(UserError):
        filter_of(DatabaseSettings(column_name_aliases={"cel_linkedid": column}), ["1.1"])


def test_many_calls_are_several_signals() -> None:
    signals = signals_of(Settings(), [f"{number}.1" for number in range(1200)])
    assert [(signal.value or b"").count(b"'") // 2 for signal in signals] == [500, 500, 200]


# The wait.


class Capture:
    """What Debezium and the aggregate worker do between two looks: a step a look."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.steps: list[Callable[[], None]] = []
        self.connection = Connection(operator.settings, operator.topics, operator.serializer)
        self.progress: list[tuple[int, int]] = []

    async def sleep(self, _: float) -> None:
        if self.steps:
            self.steps.pop(0)()

    async def run(self, call: TableCall, patience: float = 5.0) -> Waiting:
        waiting = Waiting({f"pbx1/{call.linkedid}": call})

        def tell(now: Waiting) -> None:
            self.progress.append((now.rows, len(now.missing)))

        await backfill(self.connection, waiting, tell, patience_seconds=patience, sleep=self.sleep)
        return waiting

    def rows(self, *ids: int, op: str = "r", linkedid: str = LINKEDID) -> None:
        for row_id in ids:
            row = {
                "id": row_id, "eventtype": "CHAN_END", "eventtime": "2026-11-22T10:00:00Z", "linkedid": linkedid,
                "uniqueid": linkedid, "__op": op, "__source_name": "pbx1", "__source_ts_ms": 1,
            }  # fmt: skip
            self.operator.topics.put(Outgoing("cel2crm.cel", linkedid.encode(), json.dumps(row).encode()))

    def result(self, highest: int, rows: int) -> None:
        fields: dict[str, Any] = {"version_row_id": highest, "version_rows": rows}
        self.operator.result(call_result(1, version=version_number((highest, rows)), **fields))


@pytest.fixture
def capture(operator: Operator) -> Capture:
    """Of an installation in memory."""
    return Capture(operator)


async def test_it_waits_for_the_rows_and_for_the_result_of_all_of_them(capture: Capture) -> None:
    capture.steps = [
        lambda: capture.rows(28, 29),
        lambda: capture.result(29, 2),  # of too few rows: not yet
        lambda: capture.rows(30),
        lambda: capture.result(30, 3),
    ]
    waiting = await capture.run(THREE_ROWS)
    assert (waiting.done, waiting.missing) == ([CALL], [])
    assert capture.progress == [(0, 1), (2, 1), (2, 1), (3, 1), (3, 0)]
    assert len(capture.operator.topics.logs["cel2crm.signals", 0]) == 1


async def test_streamed_rows_and_other_calls_are_not_counted(capture: Capture) -> None:
    capture.steps = [lambda: capture.rows(28, op="c"), lambda: capture.rows(1, linkedid="9.9")]
    waiting = await capture.run(THREE_ROWS)
    assert (waiting.rows, waiting.missing) == (0, [CALL])


async def test_rows_from_before_the_signal_are_not_counted(capture: Capture) -> None:
    capture.rows(28)
    assert (await capture.run(THREE_ROWS)).rows == 0


async def test_its_patience_ends_only_when_nothing_comes(capture: Capture) -> None:
    for row_id in range(1, 8):  # every other look, for longer than its patience in all
        capture.steps += [lambda: None, lambda row_id=row_id: capture.rows(row_id)]  # type: ignore[misc]
    waiting = await capture.run(TableCall(LINKEDID, 9, 9, ended=True), patience=2.0)
    assert waiting.rows == 7 and waiting.missing == [CALL]


async def test_a_call_that_goes_on_has_its_rows_and_no_result_yet(capture: Capture) -> None:
    capture.steps = [lambda: capture.rows(28, 29, 30)]
    waiting = await capture.run(TableCall(LINKEDID, 3, 30, ended=False))
    assert (waiting.open, waiting.missing, waiting.done) == ([CALL], [], [])


async def test_what_has_its_result_already_is_not_read_again(capture: Capture) -> None:
    capture.result(30, 3)
    assert (await already_classified(capture.connection, [THREE_ROWS])).missing == []


# The command.


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[TableCall]:
    """The calls in the PBX's table; the capture runs."""
    calls: list[TableCall] = []

    async def runs(_: Settings) -> None:
        pass

    monkeypatch.setattr(cli, "calls_named", lambda _, names: [each for each in calls if each.linkedid in names])
    monkeypatch.setattr(cli, "calls_begun", lambda _, since, until: calls)
    monkeypatch.setattr(cli, "_capture_runs", runs)
    return calls


def test_what_was_backfilled_is_resolved(capture: Capture, operator: Operator, table: list[TableCall]) -> None:
    table.append(THREE_ROWS)
    late(operator, CALL)
    late(operator, "pbx1/9.9")
    capture.result(30, 3)
    told = operator.told("backfill", "--call", LINKEDID, "--pbx", "pbx1", "--by", "ann")
    assert told == "1 calls have results with all their rows\n"
    assert [(done.action, done.by, done.call_id) for done in operator.resolutions()] == [("backfilled", "ann", CALL)]
    assert [group["calls"] for group in groups(operator)] == [1]


def test_all_that_the_dead_letters_name(capture: Capture, operator: Operator, table: list[TableCall]) -> None:
    table.append(THREE_ROWS)
    for call in (CALL, CALL, "south/1.1"):
        late(operator, call)
    capture.result(30, 3)
    assert "1 calls have results" in operator.told("backfill", "--dead-letters")


def test_nothing_rings_in_a_crm_unless_asked_for(capture: Capture, operator: Operator, table: list[TableCall]) -> None:
    table.append(THREE_ROWS)
    capture.result(30, 3)
    operator.told("backfill", "--call", LINKEDID)
    assert operator.commands() == []
    assert "2 deliveries ordered" in operator.run("backfill", "--call", LINKEDID, "--deliver").stderr
    assert [(each.crm, each.action.value) for each in operator.commands()] == [
        ("bitrix24", "deliver"),
        ("kommo", "deliver"),
    ]


def test_a_dry_run_does_nothing(operator: Operator, table: list[TableCall]) -> None:
    table.append(THREE_ROWS)
    done = operator.run("backfill", "--since", "2026-11-24", "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "1 calls with 3 rows in the table\n")
    assert not operator.topics.logs


def test_many_are_asked_about(operator: Operator, table: list[TableCall]) -> None:
    table.extend(TableCall(f"{number}.1", 3, 30, ended=True) for number in range(50))
    refused = operator.run("backfill", "--ids", "1-500", answer="n\n")
    assert isinstance(refused.exception, UserError) and not operator.topics.logs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "not said which calls"),
        (("--call", "1.1", "--ids", "1-2"), "not said which calls"),
        (("--ids", "12"), "not a stretch of row ids"),
        (("--since", "soon"), "neither the id of a row nor a time"),
        (("--call", "1.1' or 1=1"), "not a linkedid that can be backfilled"),
        (("--call", "1.1", "--pbx", "south"), "there is no PBX south"),
        (("--call", "9.9"), "holds no rows of 9.9"),
    ],
)
def test_what_cannot_be_done(operator: Operator, table: list[TableCall], arguments: tuple[str, ...], said: str) -> None:
    error = operator.run("backfill", *arguments).exception
    assert isinstance(error, UserError) and said in error.problem and error.remedy
    assert not operator.topics.logs


def test_where_no_row_comes_the_reader_of_signals_is_named_with_what_it_needs() -> None:
    settings = Settings(pbx=PbxSettings(name="office"))
    waiting = Waiting({CALL: THREE_ROWS})
    told = unread_signals(waiting, settings)
    assert told is not None
    assert "topic cel2crm.signals" in told and "group cel2crm.signals.office" in told
    assert "cel2crm topics acls connect --apply" in told and "cel2crm connectors apply --restart" in told
    waiting.seen[CALL] = {28}  # some came: it reads them
    assert unread_signals(waiting, settings) is None
    assert unread_signals(Waiting({}), settings) is None
