"""Stretches, commands and words; many rows in little memory."""

import json

from hypothesis import given
from hypothesis import strategies as st

from connectors.mariadb.binlog_progress import has_passed
from connectors.mariadb.history import BinlogMark
from streams.gaps.call_tally import CallTally
from streams.gaps.findings import JOINED_IDS, MOST_STRETCHES, CallGap, Findings, Stretches
from streams.gaps.record_keys import record_keys
from streams.gaps.report import lines_of, to_json
from streams.gaps.row_index import RowIndex, channel_hash
from streams.printable import printable

IDS = st.one_of(st.integers(1, 300), st.integers(65_000, 66_000), st.integers(1, (1 << 43) - 1))
CHANNELS = st.sampled_from(["1764000000.1", "1764000000.2", "sys-1764000000.1", ""])


@given(st.lists(st.tuples(IDS, CHANNELS)), st.lists(st.tuples(IDS, CHANNELS)))
def test_an_index_has_what_was_added_and_nothing_else(
    added: list[tuple[int, str]], asked: list[tuple[int, str]]
) -> None:
    index = RowIndex()
    for number, (row_id, channel) in enumerate(added):
        index.add(row_id, channel_hash(channel))
        assert index.has(row_id, channel_hash(channel)), number
    for row_id, channel in [*asked, *added]:
        assert index.has(row_id, channel_hash(channel)) == ((row_id, channel) in added)


def test_a_channel_is_the_same_however_its_bytes_were_decoded() -> None:
    assert channel_hash("caf\xe9.1") == channel_hash(b"caf\xe9.1") == channel_hash("caf\ufffd.1 ")
    assert channel_hash(None) == channel_hash("") != channel_hash("1.1")


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30))),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30), st.integers(0, 9))),
)
def test_a_tally_knows_highest_id_and_number_of_each_calls_rows(
    rows: list[tuple[int, int]], shown: list[tuple[int, int, int]]
) -> None:
    tally = CallTally()
    for call, row_id in rows:
        tally.add(call, row_id)
    tally.finish()
    best: dict[int, tuple[int, int]] = {}
    for call, highest, count in shown:
        tally.show(call, (highest, count))
        best[call] = max((highest, count), best.get(call, (0, 0)))
    known = {call: {row_id for each, row_id in rows if each == call} for call, _ in rows}
    assert all(tally.rows_of(call) == (max(ids), len(ids)) for call, ids in known.items())
    lacking = {call for call, ids in known.items() if best.get(call, (0, 0))[0] < max(ids) or best[call][1] < len(ids)}
    assert set(tally.not_shown()) == lacking


def test_rows_close_together_make_one_stretch_and_very_many_are_put_together() -> None:
    stretches, apart = Stretches(), JOINED_IDS + 2
    for number in range(MOST_STRETCHES * 3):
        stretches.add(number * apart, f"1.{number}")
        stretches.add(number * apart + 1, f"1.{number}")
    assert (stretches.rows, stretches.calls, len(stretches.found)) == (120, 60, 60)
    few = stretches.few()
    assert len(few) == MOST_STRETCHES and sum(each.rows for each in few) == 120
    assert few[0].command("p") == "cel2crm backfill --call 1.0 --pbx p"
    assert few[-1].command("p") == f"cel2crm backfill --ids {19 * apart}-{59 * apart + 1} --pbx p"


HOSTILE = ["1' or '1'='1", "$(reboot)", "\x1b[2J", "a;b", ""]


def findings(**changed: object) -> Findings:
    return Findings(pbx="pbx1", first_id=1, last_id=9, table_rows=9, topic_rows=8, **changed)  # type: ignore[arg-type]


def test_hostile_linkedids_are_in_no_command_and_safe_for_terminals() -> None:
    stretches = Stretches()
    for number, linkedid in enumerate(HOSTILE):
        stretches.add(number + 1, linkedid)
    calls = [CallGap(linkedid, 1, 2, 2) for linkedid in HOSTILE]
    found = findings(missing_rows=5, missing_calls=5, stretches=stretches.few(), calls=calls)
    assert not found.remedies
    words = "\n".join(map(printable, lines_of(found)))
    assert "\x1b" not in words and "no backfill reads a call with a linkedid such as" in words
    stretches.add(6, "1764000000.1")
    found.stretches = stretches.few()
    assert list(found.remedies) == ["cel2crm backfill --call 1764000000.1 --pbx pbx1"]


def test_no_gaps_are_told_in_one_line_and_others_with_their_commands() -> None:
    assert lines_of(findings(seconds=1.25)) == [
        "no gaps: compared 9 rows of the table (ids 1 to 9) and 8 on the topic, in 1.2 s"
    ]
    calls = [CallGap(f"1.{number}", number, number + 1, 2) for number in range(1, 31)]
    found = findings(calls=calls, purged=frozenset({"1.2"}), calls_begin_at=1, unsettled=3, before=1, waiting_rows=2)
    told = lines_of(found)
    assert told[0] == "30 calls on the topic, of which no result shows all rows"
    assert "  1.2, 2 rows: not in the table any more, nothing brings it back" in told
    assert "    cel2crm backfill --ids 1-31 --pbx pbx1" in told
    assert any("not settled: 3 rows" in line for line in told) and not any("no gaps" in line for line in told)
    machine = json.loads(json.dumps(to_json(found)))
    assert (machine["gaps"], len(machine["calls_without_result"]), machine["unsettled_rows"]) == (True, 30, 3)
    assert not findings(unsettled=3).found


def test_records_are_read_by_the_tables_own_names_and_leniently() -> None:
    read = record_keys({"cel_id": "nr", "cel_uniqueid": "channel"}, "office")
    keys = read(b'{"nr": "7", "channel": "1.1", "linkedid": "1.0"}')
    assert keys is not None
    assert (keys.id, keys.uniqueid, keys.linkedid, keys.op, keys.pbx) == (7, "1.1", "1.0", "c", "office")
    odd = read(b'{"nr": 8, "channel": null, "linkedid": 1.5, "__op": "r"}')
    assert odd is not None and (odd.id, odd.uniqueid, odd.op) == (8, "", "r")
    for value in (
        None,
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"nr": "x"}',
        b'{"nr": -1}',
        b'{"nr": 99999999999999999999}',
        b"[" * 9999,
    ):
        assert read(value) is None


def test_a_position_has_passed_a_mark_by_transactions_or_by_its_place() -> None:
    mark = BinlogMark("binlog.000012", 400, "0-1-100,5-2-7")
    assert has_passed(BinlogMark("binlog.000011", 4, "0-1-100,5-9-8"), mark)
    assert not has_passed(BinlogMark("binlog.000012", 399, "0-1-99,5-2-7"), mark)
    assert not has_passed(BinlogMark("binlog.000012", 399, "0-1-100"), mark), "a domain is missing"
    assert has_passed(BinlogMark("binlog.000012", 400, ""), replace_gtids(mark))
    assert not has_passed(BinlogMark("binlog.000009", 9999, ""), replace_gtids(mark))


def replace_gtids(mark: BinlogMark) -> BinlogMark:
    return BinlogMark(mark.file, mark.position, "")
