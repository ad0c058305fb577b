"""Whether the capture goes on where it stood: each sign of another history, and what is no sign of one."""

from dataclasses import replace

import msgspec
import pytest

from connectors.capture_state import CaptureState
from connectors.guard import backfill_since
from connectors.mariadb.continuity import BinlogState, Evidence, assess, decode_position
from connectors.mariadb.history import (
    BinlogMark,
    Comparison,
    DatabaseHistory,
    DatabaseSnapshot,
    compare,
)
from connectors.row_mark import RowMark, row_mark

MARK = BinlogMark("binlog.000003", 5000, "0-1-1489", 20, "digest")
ROW = RowMark(4711, "1795480300.7", "2026-11-24 01:02:03")
REMEMBERED = DatabaseHistory("0-1-1489", MARK, ROW, 1, "uid")
LATER = DatabaseHistory(
    "0-1-1500", BinlogMark("binlog.000003", 9000, "0-1-1500", 20, "digest"), RowMark(4800, "9", ""), 1, "uid"
)
CONTINUED = DatabaseSnapshot(LATER, {"binlog.000003": 9000}, "0-1-1489", "digest", ROW)
UNPROVEN = replace(CONTINUED, binlogs={"binlog.000004": 900}, gtids_at_mark=None, digest_at_mark="")
"""The file of the mark was purged."""


def test_a_history_that_goes_on_is_one() -> None:
    for now in (CONTINUED, UNPROVEN):
        assert compare(REMEMBERED, now) == Comparison()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (replace(CONTINUED, history=msgspec.structs.replace(LATER, gtids="0-1-1488")), "gone back"),
        (replace(CONTINUED, history=msgspec.structs.replace(LATER, gtids="1-1-2000")), "gone back"),
        (replace(CONTINUED, history=msgspec.structs.replace(LATER, gtids="")), "GTID (none)"),
        (replace(CONTINUED, gtids_at_mark="0-1-1490"), "binlog.000003 was made anew"),
        (replace(CONTINUED, gtids_at_mark=None), "binlog.000003 was made anew"),
        (replace(CONTINUED, digest_at_mark="other"), "binlog.000003 was made anew"),
        (replace(CONTINUED, binlogs={"binlog.000003": 4999}), "binlog.000003 was made anew"),
        (replace(CONTINUED, binlogs={"binlog.000001": 99}), "begun again: binlog.000003 was reached"),
        (replace(UNPROVEN, history=msgspec.structs.replace(LATER, server_uid="new")), "another server answers"),
        (replace(UNPROVEN, history=msgspec.structs.replace(LATER, server_id=2)), "another server answers"),
        (replace(UNPROVEN, row_at_id=RowMark(4711, "1.1", "2026-11-24 01:02:03")), "row 4711 is another one"),
        (
            replace(UNPROVEN, row_at_id=None, history=msgspec.structs.replace(LATER, last_row=RowMark(12, "1", ""))),
            "the highest id is 12, row 4711 was there before",
        ),
    ],
)
def test_each_sign_of_another_history_is_noticed(now: DatabaseSnapshot, words: str) -> None:
    assert (interruption := compare(REMEMBERED, now).interruption)
    assert words in interruption


def test_ids_that_begin_again_in_the_same_binlog_are_a_truncate_and_legal() -> None:
    truncated = replace(CONTINUED, row_at_id=None, history=msgspec.structs.replace(LATER, last_row=RowMark(3, "1", "")))
    comparison = compare(REMEMBERED, truncated)
    assert comparison.interruption is None
    assert comparison.remarks == ("the highest id is 3, row 4711 was there before",)


def test_a_server_on_other_hardware_with_the_same_binlog_is_the_same() -> None:
    moved = replace(CONTINUED, history=msgspec.structs.replace(LATER, server_uid="new"))
    assert compare(REMEMBERED, moved).interruption is None
    assert "another server answers" in compare(REMEMBERED, moved).remarks[0]


def test_purged_rows_and_purged_binlogs_prove_nothing() -> None:
    assert compare(REMEMBERED, replace(UNPROVEN, row_at_id=None)).interruption is None


def test_a_connectors_position_is_no_proof_where_the_server_does_not_know_it() -> None:
    unknown = replace(CONTINUED, gtids_at_mark=None)
    position = DatabaseHistory("0-1-1489", BinlogMark("binlog.000003", 5000, "0-1-1489"), ROW)
    assert compare(position, unknown, own_mark=False).interruption is None


STATE: BinlogState = CaptureState(
    REMEMBERED, ROW, position=MARK, began_at=BinlogMark("binlog.000001", 4, "0-1-6"), schema_history_end=3
)


def evidence(**changed: object) -> Evidence:
    now = Evidence(CONTINUED, BinlogMark("binlog.000003", 8000, "0-1-1495"), True, RowMark(4799, "8", ""), 3, ())
    return replace(now, **changed)  # type: ignore[arg-type]


def test_what_goes_on_is_remembered() -> None:
    assessment = assess(STATE, evidence(schema_history_end=4))
    assert assessment.interruption is None
    assert assessment.state == CaptureState(
        LATER, RowMark(4799, "8", ""), BinlogMark("binlog.000003", 8000, "0-1-1495"), STATE.began_at, 4
    )


def test_an_interruption_leaves_the_memory_as_it_was() -> None:
    assessment = assess(STATE, evidence(database=replace(CONTINUED, digest_at_mark="other")))
    assert assessment.interruption and assessment.state is STATE


def test_a_lost_position_is_noticed_and_an_unknown_one_is_not_lost() -> None:
    assert "has lost its position (GTID 0-1-1489)" in str(assess(STATE, evidence(position=None)).interruption)
    unknown = assess(STATE, evidence(position=None, position_known=False))
    assert unknown.interruption is None and unknown.state.position == STATE.position


def test_a_connector_that_began_again_by_itself_has_skipped_rows() -> None:
    again = BinlogMark("binlog.000003", 8000, "0-1-1495")
    assert "began again at GTID 0-1-1495" in str(assess(STATE, evidence(starts=(again,))).interruption)


@pytest.mark.parametrize("again", [BinlogMark("binlog.000001", 4, "0-1-6"), BinlogMark("binlog.000002", 4, "0-1-6")])
def test_a_start_at_the_same_place_skips_nothing(again: BinlogMark) -> None:
    assert assess(STATE, evidence(starts=(again,))).interruption is None


def test_a_first_start_is_expected() -> None:
    applied: BinlogState = CaptureState(REMEMBERED)
    assessment = assess(applied, evidence(starts=(BinlogMark("binlog.000003", 5000, "0-1-1489"),)))
    assert assessment.interruption is None and assessment.state.began_at is not None


def test_a_schema_history_that_lost_records_is_a_warning_until_it_is_mended() -> None:
    assessment = assess(STATE, evidence(schema_history_end=0))
    assert "(0 of 3 are left)" in assessment.warnings[0].problem
    assert assess(assessment.state, evidence(schema_history_end=0)).warnings == assessment.warnings


def test_an_empty_memory_of_a_new_installation_is_told() -> None:
    assessment = assess(None, evidence(position=None, captured=None))
    assert assessment.remarks == ("this database is remembered from now on",)


def test_an_empty_memory_of_a_captured_database_is_told_and_compared() -> None:
    proven = replace(CONTINUED, gtids_at_mark="0-1-1495", row_at_id=RowMark(4799, "8", ""))
    assessment = assess(None, evidence(database=proven))
    assert assessment.interruption is None and "stands in the table as captured" in assessment.remarks[0]
    back = replace(proven, history=msgspec.structs.replace(LATER, gtids="0-1-9"))
    assert "gone back" in str(assess(None, evidence(database=back)).interruption)
    assert "no position, though rows" in str(assess(None, evidence(database=proven, position=None)).interruption)


def test_a_position_as_debezium_stores_it() -> None:
    stored = {"ts_sec": 1, "file": "b.1", "pos": 3452, "gtids": "0-1-8", "row": 1, "event": 2}
    assert decode_position(stored) == BinlogMark("b.1", 3452, "0-1-8")
    assert decode_position({}) is None
    assert decode_position({"file": "b.1", "pos": 4, "gtids": None}) == BinlogMark("b.1", 4, "")


def test_the_table_and_the_topic_spell_a_row_alike() -> None:
    assert row_mark(1, "u", "2026-11-24T01:02:03Z") == row_mark(1, "u", "2026-11-24 01:02:03.500000")


@pytest.mark.parametrize(
    ("state", "since"),
    [
        (STATE, "2026-11-23 21:02:03"),
        (CaptureState(REMEMBERED), "2026-11-23 21:02:03"),
        (CaptureState(DatabaseHistory("")), "0"),
        (CaptureState(REMEMBERED, RowMark(1, "u", "no time")), "0"),
    ],
)
def test_the_backfill_begins_a_longest_call_before_the_last_captured_row(state: BinlogState, since: str) -> None:
    assert backfill_since(state, 4 * 3600) == since


def test_the_memory_is_read_as_it_was_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(STATE), type=BinlogState) == STATE


def test_a_memory_of_a_later_version_is_read() -> None:
    value = msgspec.json.decode(msgspec.json.encode(STATE)) | {"something_new": 1}
    assert msgspec.json.decode(msgspec.json.encode(value), type=BinlogState) == STATE
