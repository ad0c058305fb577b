"""Classifying rows of a file: follows open calls only, and gives each call once, some rows after its end."""

from collections.abc import Iterator

import msgspec
import pytest

from streams.calls import offline
from streams.calls.call import Call
from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.rows.row import CapturedRow, CelRow
from tests.calls.tables import RULES, cel

CALL = """
    0 start  PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001
    9 hangup PJSIP/trunk1-01 0 cause=19/NOANSWER
    9 end    PJSIP/trunk1-01 0
"""
ENDED = CALL + "9 over PJSIP/trunk1-01 0"


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call lingers for ten rows, looked at after every fourth; two given calls are remembered."""
    monkeypatch.setattr(offline, "LINGER_ROWS", 10)
    monkeypatch.setattr(offline, "_CHECK_EVERY_ROWS", 4)
    monkeypatch.setattr(offline, "_REMEMBERED_CALLS", 2)


def call(linkedid: str, table: str = ENDED, first_id: int = 1, pbx: str = "") -> list[CapturedRow]:
    return [captured(row, pbx) for row in cel(table, linkedid=linkedid, first_id=first_id)]


def captured(row: CelRow, pbx: str = "") -> CapturedRow:
    return CapturedRow(**msgspec.structs.asdict(row), pbx=pbx)


def others(count: int, linkedid: str = "open") -> list[CapturedRow]:
    """Rows of a call that goes on."""
    return [captured(row) for row in cel("5 dtmf PJSIP/1009-77 9\n" * count, linkedid=linkedid, first_id=1000)]


class Reading:
    """Rows that count how many were taken."""

    def __init__(self, *parts: list[CapturedRow]) -> None:
        self.taken = 0
        self._rows = [row for part in parts for row in part]

    def __iter__(self) -> Iterator[CapturedRow]:
        for row in self._rows:
            self.taken += 1
            yield row


def given(reading: Reading, classifier: OfflineClassifier | None = None) -> list[tuple[str, int]]:
    """Each call as it is given, and how many rows were taken until then."""
    return [
        (result.linkedid, reading.taken)
        for result in (classifier or OfflineClassifier(RULES, PbxProfile())).classify(reading)
    ]


def results(*parts: list[CapturedRow], classifier: OfflineClassifier | None = None) -> list[CallResult]:
    return list((classifier or OfflineClassifier(RULES, PbxProfile())).classify(Reading(*parts)))


def as_it_is(call: Call, cut_short: bool) -> tuple[Call, bool]:
    """A call that is not judged."""
    return call, cut_short


def test_call_is_given_when_more_than_ten_rows_came_after_its_end() -> None:
    assert given(Reading(call("1.1"), others(30))) == [("1.1", 16), ("open", 34)]


def test_call_that_ended_exactly_ten_rows_ago_still_lingers() -> None:
    assert given(Reading(others(2, "before"), call("1.1"), others(30)))[0] == ("1.1", 20)


def test_call_without_linkedid_end_ends_with_its_last_channel() -> None:
    assert given(Reading(call("1.1", CALL), others(30)))[0] == ("1.1", 16)


def test_call_with_an_open_channel_is_given_at_the_end_of_the_rows_and_is_cut_short() -> None:
    still_open = CALL + "1 start PJSIP/1001-02 1 num=1001\n9 dtmf PJSIP/1001-02 1"
    assert given(Reading(call("1.1", still_open), others(30))) == [("1.1", 35), ("open", 35)]
    assert [result.complete for result in results(call("1.1", still_open), call("1.2", CALL), call("1.3"))] == [
        True, True, False,
    ]  # fmt: skip


def test_linkedid_end_ends_a_call_whose_channels_never_ended() -> None:
    killed = "0 start PJSIP/trunk1-01 0\n0 over PJSIP/trunk1-01 0"
    assert given(Reading(call("1.1", killed), others(30)))[0] == ("1.1", 16)


def test_new_row_after_all_channels_ended_undoes_the_end() -> None:
    rows = call("1.1", CALL)
    again = call("1.1", "20 start PJSIP/1001-02 5", first_id=50)
    assert given(Reading(rows, again, others(30))) == [("1.1", 34), ("open", 34)]


def test_end_counts_from_the_last_channels_end() -> None:
    early, late = call("1.1", CALL), call("1.1", "20 start PJSIP/1001-02 5\n21 end PJSIP/1001-02 5", first_id=50)
    between = call("1.2")
    assert given(Reading(early, between, late, others(30))) == [("1.2", 20), ("1.1", 20), ("open", 39)]


def test_row_that_follows_linkedid_end_soon_is_folded_and_changes_no_end() -> None:
    late = call("1.1", "9 dtmf PJSIP/trunk1-01 0", first_id=50)
    reading = Reading(call("1.1"), others(3), late, others(30, "other"))
    classified = OfflineClassifier(RULES, PbxProfile()).classify(reading)
    first = next(classified)
    assert (first.linkedid, first.version_rows, reading.taken) == ("1.1", 5, 16)


def judged_rows(rows: list[CapturedRow], classifier: OfflineClassifier | None = None) -> tuple[list[int], list[int]]:
    """How many rows the call had each time that it was judged; and how many each has as it is given."""
    seen = []

    def judge(call: Call, _cut_short: bool) -> int:
        seen.append(len(call))
        return len(call)

    given = [rows for rows, _ in (classifier or OfflineClassifier(RULES, PbxProfile())).judged(rows, judge)]
    return seen, given


def test_a_call_is_judged_at_its_end_and_once_more_however_many_rows_follow() -> None:
    late = "\n".join(["9 dtmf PJSIP/trunk1-01 0", "9 over PJSIP/trunk1-01 0"] * 3)
    assert judged_rows(call("1.1")) == ([4], [4])
    assert judged_rows([*call("1.1"), *call("1.1", late, 50)]) == ([4, 10], [10])


def test_a_call_that_is_read_backwards_is_judged_once() -> None:
    assert judged_rows(call("1.1")[::-1]) == ([4], [4])


def test_a_call_of_which_a_row_is_lost_after_its_end_is_judged_with_it() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    rows = [*call("1.1"), *others(30)]

    def reading() -> Iterator[CapturedRow]:
        for row in rows:
            yield row
            if row is rows[6]:
                classifier.lost(["1.1"])

    assert "rows_unreadable" in next(classifier.classify(reading())).warnings


def test_a_text_that_is_not_unicode_stops_nothing() -> None:
    rows = [msgspec.structs.replace(row, cid_name="\ud800") for row in call("1.1")]
    assert [(each.linkedid, each.version_rows) for each in results(rows, others(30))] == [("1.1", 4), ("open", 30)]


def test_rows_that_come_after_their_call_was_given_are_counted_and_left_out() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    stray = call("1.1", "30 dtmf PJSIP/trunk1-01 0\n31 dtmf PJSIP/trunk1-01 0", first_id=90)
    found = results(call("1.1"), others(20), stray, call("1.2"), classifier=classifier)
    assert [result.linkedid for result in found] == ["1.1", "1.2", "open"]
    assert classifier.strays == 2


def test_only_the_calls_given_last_are_remembered() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    three = [*call("1.1"), *call("1.2"), *call("1.3")]
    stray = [*call("1.1", "30 dtmf PJSIP/trunk1-01 0", 90), *call("1.3", "30 dtmf PJSIP/trunk1-01 0", 91)]
    found = results(three, others(20), stray, classifier=classifier)
    assert [result.linkedid for result in found] == ["1.1", "1.2", "1.3", "open", "1.1"]
    assert classifier.strays == 1
    remembered = OfflineClassifier(RULES, PbxProfile())
    results(call("1.2"), call("1.3"), others(20), call("1.2", "30 dtmf PJSIP/trunk1-01 0", 90), classifier=remembered)
    assert remembered.strays == 1


def test_the_same_linkedid_on_two_pbxs_is_two_calls() -> None:
    found = results(call("1.1", pbx="north"), call("1.1"), classifier=OfflineClassifier(RULES, PbxProfile(), "south"))
    assert [result.call_id for result in found] == ["north/1.1", "south/1.1"]


def share(rows: list[CapturedRow], places: list[int]) -> tuple[OfflineClassifier, Iterator[CapturedRow]]:
    """A classifier of some rows of a file, and the rows; `places`: their numbers in the file."""
    at = [0]

    def taken() -> Iterator[CapturedRow]:
        for place, row in zip(places, rows, strict=True):
            at[0] = place
            yield row

    return OfflineClassifier(RULES, PbxProfile(), place=lambda: at[0]), taken()


def test_calls_of_a_files_shares_merge_into_the_order_of_the_whole() -> None:
    parts = [
        call("1.1"), others(9), call("1.2", CALL), call("1.3", "0 start PJSIP/trunk1-01 0"), others(7), call("1.4"),
        others(30), call("1.5"), call("1.6", "0 start PJSIP/trunk1-01 0"),
    ]  # fmt: skip
    rows = [row for part in parts for row in part]
    undivided = [
        (call.linkedid, cut_short, order)
        for (call, cut_short), order in OfflineClassifier(RULES, PbxProfile()).judged(rows, as_it_is)
    ]
    assert [order for *_, order in undivided] == sorted(order for *_, order in undivided)
    assert {linkedid for linkedid, cut_short, _ in undivided if cut_short is True} == {"open", "1.3", "1.6"}
    assert {linkedid for linkedid, cut_short, _ in undivided if cut_short is False} == {"1.1", "1.2", "1.4", "1.5"}
    merged = []
    for mine in ({"1.1", "1.3", "1.4", "1.6"}, {"1.2", "1.5", "open"}):
        places = [place for place, row in enumerate(rows, start=1) if row.linkedid in mine]
        batch_of_share, taken = share([rows[place - 1] for place in places], places)
        merged += [
            (call.linkedid, cut_short, order) for (call, cut_short), order in batch_of_share.judged(taken, as_it_is)
        ]
    assert sorted(merged, key=lambda each: each[2]) == undivided


def test_a_share_gives_its_calls_by_the_rows_of_the_whole_file() -> None:
    rows = [*call("1.1"), *others(3)]
    classifier, taken = share(rows, [1, 2, 3, 4, 14, 16, 30])
    first = next(classifier.classify(taken))
    assert first.linkedid == "1.1"
    assert next(taken).id == rows[6].id  # given at the sixth of its rows, the sixteenth of the file


def test_a_call_of_which_rows_could_not_be_read_says_so_and_no_other() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    classifier.lost(["1795390000.1", "1795390000.1"])
    results = {each.linkedid: each for each in classifier.classify([*call("1795390000.1"), *call("1795390000.2")])}
    assert {linkedid: each.complete for linkedid, each in results.items()} == {
        "1795390000.1": False,
        "1795390000.2": True,
    }
    assert "2 rows" in " ".join((results["1795390000.1"].incomplete_reason or "", *results["1795390000.1"].why))


def test_a_row_that_may_be_of_any_call_is_one_of_each_that_has_not_ended() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    ended, begun = call("1795390000.1"), call("1795390000.2")

    def rows() -> Iterator[CapturedRow]:
        yield from (*ended, begun[0])
        classifier.lost([])
        yield from (*begun[1:], *call("1795390000.3"))

    unreadable = {call.linkedid: call.unreadable_rows for (call, _), _ in classifier.judged(rows(), as_it_is)}
    assert unreadable == {"1795390000.1": 0, "1795390000.2": 1, "1795390000.3": 0}


def dialled(linkedid: str, first_id: int) -> list[CapturedRow]:
    """A call whose end is never logged."""
    return timed(call(linkedid, "0 start PJSIP/trunk1-01 0 num=79161234567 context=from-trunk exten=1001", first_id))


def timed(rows: list[CapturedRow]) -> list[CapturedRow]:
    """Of a channel that was made when the call began."""
    return [msgspec.structs.replace(row, uniqueid=row.linkedid) for row in rows]


def of_a_day(hours: range, first: int = 1_795_390_000) -> Iterator[CapturedRow]:
    """Sixty calls an hour that end; after each a row of one that does not."""
    for minute in range(hours.start * 60, hours.stop * 60):
        second = first + minute * 60
        yield from timed(call(f"{second}.1", ENDED, minute * 10 + 1))
        yield from dialled(f"{second}.5", minute * 10 + 9)


def test_calls_without_an_end_are_given_up_after_four_hours_without_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "_REMEMBERED_CALLS", 1000)
    classifier = OfflineClassifier(RULES, PbxProfile())
    most = 0
    told: dict[str, bool] = {}
    for result in classifier.classify(of_a_day(range(48))):
        told[result.linkedid] = result.complete
        most = max(most, len(classifier._open))
    assert len(told) == 2 * 48 * 60 and sum(told.values()) == 48 * 60
    assert most < 9 * 60  # at most twice four hours, and not two days
    assert not classifier.strays


def test_a_call_that_goes_on_is_not_given_up() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    conference = "1795390000.3"
    rows = dialled(conference, 1)
    for hour in range(0, 24, 3):
        rows += of_a_day(range(hour, hour + 3))
        rows += [captured(row) for row in cel("5 dtmf PJSIP/trunk1-01 0", linkedid=conference, first_id=10**6 + hour)]
    found = {result.linkedid: result for result in classifier.classify(rows)}
    assert found[conference].version_rows == 9 and not classifier.strays


def test_a_few_rows_with_a_wrong_clock_give_up_nothing() -> None:
    classifier = OfflineClassifier(RULES, PbxProfile())
    rows = [*of_a_day(range(5)), *dialled("1795408100.9", 10**6)]
    rows += [row for number in range(20) for row in dialled(f"{2_100_000_000 + number}.1", 10**6 + 1 + number)]
    rows += [captured(row) for row in cel("5 dtmf PJSIP/trunk1-01 0", linkedid="1795408100.9", first_id=2 * 10**6)]
    found = {result.linkedid: result for result in classifier.classify(rows)}
    assert found["1795408100.9"].version_rows == 2 and not classifier.strays


def test_calls_are_given_up_also_where_older_ones_linger_after_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "LINGER_ROWS", 10**6)
    given_in_order = [
        result.linkedid for result in OfflineClassifier(RULES, PbxProfile()).classify(of_a_day(range(12)))
    ]
    without_end, last_with_end = "1795390000.5", f"{1_795_390_000 + (12 * 60 - 1) * 60}.1"
    assert given_in_order.index(without_end) < given_in_order.index(last_with_end)


def test_rows_share_their_texts_where_very_many_calls_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> list[CapturedRow]:
        found = [row for number in range(30) for row in call(f"179539{number:04}.0", CALL.rpartition("9 end")[0])]
        return [msgspec.structs.replace(row, context="".join([*row.context])) for row in found]  # as decoders make them

    def texts(classifier: OfflineClassifier) -> tuple[int, list[CallResult]]:
        calls = [call for (call, _), _ in classifier.judged(rows(), as_it_is)]
        found = {id(row.context) for each in calls for row in each.rows if row.context}
        return len(found), results(rows(), classifier=OfflineClassifier(RULES, PbxProfile()))

    apart, expected = texts(OfflineClassifier(RULES, PbxProfile()))
    assert apart == 30
    monkeypatch.setattr(offline, "_MANY_OPEN_CALLS", 9)
    shared, found = texts(OfflineClassifier(RULES, PbxProfile()))
    assert shared == 9 + 1
    assert found == expected
    assert len(found) == 30
