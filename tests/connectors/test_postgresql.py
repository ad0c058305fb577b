"""PostgreSQL as a source: what is refused, what shows that rows may be missing, what is told of the slot's space."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from connectors.capture_state import CaptureState
from connectors.failures import explain
from connectors.guard import backfill_since
from connectors.postgresql.checks import (
    DatabaseFacts,
    publication_refusals,
    server_refusals,
    server_warnings,
    slot_name,
    slot_refusals,
    table_refusals,
)
from connectors.postgresql.continuity import Evidence, WalState, assess
from connectors.postgresql.failures import POSTGRESQL
from connectors.postgresql.history import (
    Comparison,
    DatabaseSnapshot,
    ServerHistory,
    Slot,
    WalPosition,
    compare,
    decode_position,
    lsn_text,
)
from connectors.postgresql.slot_space import size_text, slot_told, space_faults
from connectors.row_mark import RowMark
from connectors.source import captured_topic, connector_name, source_config, topics_of
from streams.operations.backfill import signals_of
from streams.rows.row import COLUMNS
from streams.settings import DatabaseSettings, Settings

GB = 1 << 30

SERVER = {"version": 15, "wal_level": "logical", "standby": False, "slot_limit": "4GB", "replication": True}
TABLE = {"kind": "r", "persistence": "p", "readable": True, "columns": list(COLUMNS), "primary_key": True}
SLOT = {"plugin": "pgoutput", "database": "asteriskcdrdb", "wal_status": "reserved"}
FACTS = DatabaseFacts(SERVER, TABLE, {"inserts": True}, {"attnames": list(COLUMNS), "rowfilter": None}, SLOT)
DATABASE = DatabaseSettings(engine="postgresql")


def config(**sections: Any) -> dict[str, str]:
    database = {"engine": "postgresql", **sections.pop("database", {})}
    return source_config(Settings.model_validate({**sections, "database": database}))


def test_the_configuration_reads_one_table_by_what_the_administrator_made() -> None:
    made = config(pbx={"name": "Branch-2"})
    assert made["slot.name"] == "cel2crm_branch_2" == slot_name(Settings.model_validate({"pbx": {"name": "Branch-2"}}))
    assert (made["publication.name"], made["publication.autocreate.mode"]) == ("cel2crm", "disabled")
    assert (made["table.include.list"], made["database.dbname"]) == (r"public\.cel", "asteriskcdrdb")
    assert made["database.port"] == "5432"
    assert made["transforms.route.regex"] == r"Branch\-2\.public\.cel"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("read.only", "true"),
        ("offset.mismatch.strategy", "trust_offset"),
        ("lsn.flush.mode", "connector"),
        ("slot.drop.on.stop", "false"),
        ("snapshot.mode", "no_data"),
        ("skipped.operations", "u,d,t"),
        ("time.precision.mode", "isostring"),
        ("heartbeat.interval.ms", "5000"),
        ("transforms", "unwrap,keyFromRow,bareKey,route"),
    ],
)
def test_what_was_found_by_running_it_stays(field: str, value: str) -> None:
    assert config()[field] == value


def test_there_is_no_schema_history() -> None:
    assert not [name for name in config() if name.startswith("schema.history")]
    settings = Settings(database=DATABASE)
    assert "topics.schema-history" not in topics_of(settings)
    secured = {"security_protocol": "SSL", "ssl_ca_file": "/ca.pem"}
    made = config(kafka=secured)
    assert made["signal.consumer.security.protocol"] == "SSL"
    assert not [name for name in made if name.startswith("schema.history")]


def test_a_schema_of_its_own_stands_wherever_the_table_is_named() -> None:
    settings = Settings.model_validate({"database": {"engine": "postgresql", "table": "asterisk.cel"}})
    assert captured_topic(settings) == "pbx1.asterisk.cel"
    assert source_config(settings)["table.include.list"] == r"asterisk\.cel"
    (signal,) = signals_of(settings, ["1.1"])
    assert b'"asterisk.cel"' in (signal.value or b"")


def test_a_server_that_is_ready_is_not_refused() -> None:
    assert server_refusals(SERVER) == table_refusals(TABLE, DATABASE) == publication_refusals(FACTS, DATABASE) == []
    assert slot_refusals(SLOT, "cel2crm_pbx1", DATABASE) == server_warnings(SERVER) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"wal_level": "replica"}, "set wal_level = logical"),
        ({"version": 12}, "needs 13 or newer"),
        ({"standby": True}, "is a standby"),
        ({"replication": False}, "lacks REPLICATION"),
    ],
)
def test_a_server_that_cannot_be_followed_is_refused(changed: dict[str, Any], words: str) -> None:
    (line,) = server_refusals(SERVER | changed)
    assert words in line


def test_a_slot_without_limit_is_warned_of() -> None:
    assert "until the disk is full" in server_warnings(SERVER | {"slot_limit": "-1"})[0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "no table public.cel in database asteriskcdrdb"),
        (TABLE | {"readable": False}, "may not read it"),
        (TABLE | {"kind": "v"}, "no table but a view"),
        (TABLE | {"persistence": "u"}, "ALTER TABLE public.cel SET LOGGED"),
        (TABLE | {"primary_key": False}, "has no primary key"),
        (TABLE | {"columns": [name for name in COLUMNS if name != "linkedid"]}, "has no column linkedid"),
    ],
)
def test_a_table_whose_rows_do_not_come_is_refused(table: dict[str, Any], words: str) -> None:
    (line,) = table_refusals(table, DATABASE)
    assert words in line


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"publication": {}}, "CREATE PUBLICATION cel2crm FOR TABLE public.cel"),
        ({"publication": {"inserts": False}}, "leaves inserts out"),
        (
            {"publication": {"inserts": True, "as_one_table": False}, "table": {**TABLE, "kind": "p"}, "published": {}},
            "ALTER PUBLICATION cel2crm SET (publish_via_partition_root = true)",
        ),
        ({"published": {}}, "ADD TABLE public.cel"),
        ({"published": {"attnames": list(COLUMNS), "rowfilter": "(id > 3)"}}, "filters rows"),
        ({"published": {"attnames": [name for name in COLUMNS if name != "extra"]}}, "leaves columns out (extra)"),
    ],
)
def test_a_publication_that_leaves_rows_or_columns_out_is_refused(changed: dict[str, Any], words: str) -> None:
    (line,) = publication_refusals(replace(FACTS, **changed), DATABASE)
    assert words in line


def test_the_publication_of_a_server_before_15_has_no_lists() -> None:
    assert publication_refusals(replace(FACTS, published={"tablename": "cel"}), DATABASE) == []


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        ({}, "SELECT pg_create_logical_replication_slot('cel2crm_pbx1', 'pgoutput')"),
        (SLOT | {"plugin": "wal2json"}, "of plugin wal2json"),
        (SLOT | {"database": "other"}, "and database other"),
        (SLOT | {"wal_status": "lost"}, "given up by the server"),
    ],
)
def test_a_slot_that_cannot_be_used_is_refused(slot: dict[str, Any], words: str) -> None:
    (line,) = slot_refusals(slot, "cel2crm_pbx1", DATABASE)
    assert words in line


ROW = RowMark(4711, "1795480300.7", "2026-11-24 01:02:03")
REMEMBERED = ServerHistory("7001", 1, 5 * GB, 16400, ROW)
LATER = ServerHistory("7001", 1, 6 * GB, 16400, RowMark(4800, "9", ""))
READ = Slot("cel2crm_pbx1", True, "reserved", 5 * GB, 1 << 20)
NOW = DatabaseSnapshot(LATER, READ, READ.name, None, ROW)
POSITION = WalPosition(5 * GB)


def changed_history(**values: Any) -> DatabaseSnapshot:
    return replace(NOW, history=msgspec.structs.replace(LATER, **values))


def test_a_server_with_its_slot_that_goes_on_is_the_same() -> None:
    assert compare(REMEMBERED, POSITION, NOW) == Comparison()
    assert compare(None, None, NOW) == Comparison()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (changed_history(system_id="7002"), "another server answers (system identifier 7002, before 7001)"),
        (changed_history(lsn=4 * GB), "its WAL has gone back: it stands at 1/0, after 1/40000000"),
        (replace(NOW, slot=None), "no replication slot cel2crm_pbx1 any more"),
        (replace(NOW, slot=replace(READ, wal_status="lost")), "given replication slot cel2crm_pbx1 up"),
        (replace(NOW, slot=replace(READ, confirmed=5 * GB + 1)), "made anew or moved on: it stands at 1/40000001"),
        (replace(NOW, publication_fault="publication cel2crm leaves the table out"), "leaves the table out"),
        (replace(NOW, row_at_id=RowMark(4711, "1.1", "2026-11-24 01:02:03")), "row 4711 is another one"),
        (
            replace(changed_history(last_row=RowMark(12, "1", "")), row_at_id=None),
            "the highest id is 12, row 4711 was there before, though the table's file is the same",
        ),
    ],
)
def test_each_sign_that_rows_may_be_missing_is_noticed(now: DatabaseSnapshot, words: str) -> None:
    assert words in str(compare(REMEMBERED, POSITION, now).interruption)


def test_a_truncated_table_has_another_file_and_is_legal() -> None:
    now = replace(changed_history(file=16500, last_row=RowMark(3, "1", "")), row_at_id=None)
    assert compare(REMEMBERED, POSITION, now).interruption is None
    assert "highest id is 3" in compare(REMEMBERED, POSITION, now).remarks[0]


def test_a_promoted_standby_that_has_the_slot_goes_on_with_a_remark() -> None:
    comparison = compare(REMEMBERED, POSITION, changed_history(timeline=2))
    assert comparison.interruption is None and "promoted to timeline 2" in comparison.remarks[0]


STATE: WalState = CaptureState(REMEMBERED, ROW, POSITION)


def evidence(**changed: Any) -> Evidence:
    return replace(Evidence(NOW, WalPosition(6 * GB), True, RowMark(4799, "8", "")), **changed)


def test_what_goes_on_is_remembered_and_the_slot_is_told() -> None:
    assessment = assess(STATE, evidence())
    assert assessment.interruption is None
    assert assessment.state == CaptureState(LATER, RowMark(4799, "8", ""), WalPosition(6 * GB))
    assert assessment.details == ("replication slot cel2crm_pbx1: in use, keeps 1 MB of WAL",)


def test_an_interruption_leaves_the_memory_as_it_was() -> None:
    assessment = assess(STATE, evidence(database=replace(NOW, slot=None)))
    assert assessment.interruption and assessment.state is STATE
    assert backfill_since(assessment.state, 4 * 3600) == "2026-11-23 21:02:03"


def test_a_lost_position_loses_nothing_while_the_slot_is_the_same() -> None:
    lost = assess(STATE, evidence(position=None))
    assert lost.interruption is None and lost.state.position == POSITION
    assert "has lost its position (1/40000000): it goes on from its slot" in lost.remarks[0]
    assert assess(STATE, evidence(position=None, position_known=False)).remarks == ()
    anew = replace(NOW, slot=replace(READ, confirmed=5 * GB + 1))
    assert "made anew" in str(assess(STATE, evidence(position=None, database=anew)).interruption)


def test_rows_of_which_neither_memory_nor_position_tells_anything_wait_for_a_person() -> None:
    assert "no position, though rows" in str(assess(None, evidence(position=None)).interruption)


def test_an_empty_memory_is_told() -> None:
    new = assess(None, evidence(position=None, captured=None))
    assert new.remarks == ("this database is remembered from now on",)
    assert "it has been captured" in assess(None, evidence()).remarks[0]


def test_the_memory_is_read_as_it_was_written_and_not_as_another_engines() -> None:
    written = msgspec.json.encode(STATE)
    assert msgspec.json.decode(written, type=WalState) == STATE


def test_a_position_as_debezium_stores_it() -> None:
    assert decode_position({"lsn": 24, "lsn_proc": 25, "lsn_commit": 20, "txId": 7}) == WalPosition(25)
    assert decode_position({"lsn": 24, "lsn_commit": None}) == WalPosition(24)
    assert decode_position({}) is None


@pytest.mark.parametrize(("lsn", "text"), [(0, "0/0"), (0x16_B374D848, "16/B374D848")])
def test_a_place_in_the_wal_is_written_as_postgresql_does(lsn: int, text: str) -> None:
    assert lsn_text(lsn) == text


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (
            replace(READ, kept=GB, active=False),
            "1.0 GB of WAL on the server's disk, and no connector reads it; max_slot",
        ),
        (replace(READ, kept=2 * GB, room=3 * GB), "keeps 2.0 GB of WAL on the server's disk"),
        (replace(READ, kept=900 << 20, room=100 << 20), "after 100 MB more the server gives it up"),
        (replace(READ, kept=48 << 20, room=16 << 20), "after 16 MB more the server gives it up"),
        (replace(READ, wal_status="unreserved", room=-5), "after the next checkpoint the server gives it up"),
    ],
)
def test_a_slot_that_fills_the_disk_is_told_with_what_to_do(slot: Slot, words: str) -> None:
    (fault,) = space_faults(slot)
    assert words in fault.problem and "cel2crm connectors apply" in fault.remedy


def test_a_slot_that_is_read_is_no_fault() -> None:
    assert space_faults(replace(READ, kept=GB - 1, room=GB)) == ()
    assert space_faults(replace(READ, room=63 << 20)) == ()  # a small limit is no fault by itself
    assert slot_told(replace(READ, active=False)) == "replication slot cel2crm_pbx1: not in use, keeps 1 MB of WAL"
    assert [size_text(each) for each in (-1, 2048, 5 << 20, 3 * GB)] == ["0 kB", "2 kB", "5 MB", "3.0 GB"]


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        (
            "The connector is trying to read .. but this is no longer available on the server. Reconfigure",
            "slot is gone",
        ),
        (
            "DebeziumException: Connector is configured to be in read-only mode but replication slot was not found.",
            "gone",
        ),
        (
            'PSQLException: ERROR: can no longer get changes from replication slot "cel2crm_pbx1"',
            "given the replication",
        ),
        ("PSQLException: ERROR: requested WAL segment 0000000100 has already been removed", "given the replication"),
        ('PSQLException: FATAL: password authentication failed for user "cel2crm"', "refuses user cel2crm"),
        ('FATAL: no pg_hba.conf entry for host "10.0.0.3", user "cel2crm", database "x"', "no line for user cel2crm"),
        ('PSQLException: ERROR: replication slot "a" is active for PID 7', "slot a is in use by another connection"),
        ("ERROR: permission denied for table cel", "may not read cel"),
        ("Connection refused. Check that the hostname and port are correct", "no database answers"),
    ],
)
def test_a_trace_becomes_one_understandable_line(trace: str, line: str) -> None:
    failure = explain(trace, known=POSTGRESQL)
    assert line in failure.reason
    assert failure.remedy


def test_rows_that_are_lost_wait_for_a_person() -> None:
    assert explain("read-only mode but replication slot was not found", known=POSTGRESQL).needs_person
    assert not explain('replication slot "a" is active for PID 7', known=POSTGRESQL).needs_person
    assert connector_name(Settings(database=DATABASE)) == "cel2crm-pbx1"
