"""A call is found with those that its channels came from, or went on in."""

import json
from collections.abc import Collection, Iterator

import pytest

from deploy.demo.recordings import RECORDINGS
from streams.errors import UserError
from streams.rows.row import CapturedRow, RowDecoder
from streams.sources.finding import MOST_LINKED, FileFinder, find_call

CALL, PICKER = "1795389970.80", "1795389971.82"
RECORDED = FileFinder([RECORDINGS], RowDecoder())


class Rows:
    """Rows at hand."""

    name = "rows at hand"

    def __init__(self, *rows: tuple[str, str, str, str]) -> None:
        self._rows = [
            CapturedRow(
                id=number, eventtype=event, eventtime="0", linkedid=linkedid, uniqueid=uniqueid, extra=extra, pbx="a"
            )
            for number, (event, linkedid, uniqueid, extra) in enumerate(rows, start=1)
        ]  # fmt: skip

    def matching(self, linkedids: Collection[str], uniqueids: Collection[str]) -> Iterator[CapturedRow]:
        return (row for row in self._rows if row.linkedid in linkedids or row.uniqueid in uniqueids)


def linkedids(finder: Rows | FileFinder, asked: str) -> list[str]:
    found = find_call(finder, asked)
    return [call.linkedid for call in (*found.own, *found.linked)]


@pytest.mark.parametrize("asked", [CALL, PICKER])
def test_a_pickup_is_found_from_either_of_its_calls(asked: str) -> None:
    assert set(linkedids(RECORDED, asked)) == {CALL, PICKER}
    assert linkedids(RECORDED, asked)[0] == asked


def test_a_channel_leads_to_its_call() -> None:
    found = find_call(RECORDED, "1795389970.81")
    assert found.asked == CALL


def test_calls_without_a_common_channel_are_not_linked() -> None:
    assert linkedids(RECORDED, "1795390019.109") == ["1795390019.109"]


def test_every_row_of_every_linked_call_is_there() -> None:
    rows = [row for line in RECORDINGS.read_text().splitlines() for row in json.loads(line)["cel"]]
    for call in find_call(RECORDED, PICKER).calls.values():
        assert len(call.rows) == sum(row["linkedid"] == call.linkedid for row in rows)


def test_links_are_followed_however_many_steps_away() -> None:
    chain = Rows(*[("HANGUP", f"{number}", f"{number + 1}", "") for number in range(1, 9)])
    assert linkedids(chain, "1") == [f"{number}" for number in range(1, 9)]


def test_an_agent_who_stays_logged_in_does_not_lead_to_all_his_calls() -> None:
    found = find_call(Rows(*[("HANGUP", f"{number}", f"{number + 1}", "") for number in range(1, 999)]), "1")
    assert found.more
    assert MOST_LINKED < len(found.calls) < 2 * MOST_LINKED


def test_a_transfer_names_the_other_call_in_extra() -> None:
    rows = Rows(
        ("ATTENDEDTRANSFER", "1", "1", '{"transferee_channel_uniqueid":"7","transfer_target_channel_uniqueid":"N/A"}'),
        ("CHAN_START", "7", "7", ""),
    )
    assert linkedids(rows, "1") == ["1", "7"]


def test_a_call_that_is_not_there_is_a_mistake_told_with_the_place() -> None:
    with pytest.raises(UserError, match=r"no row of call 1\.1 in rows at hand"):
        find_call(Rows(), "1.1")


def test_only_the_pbx_asked_for() -> None:
    with pytest.raises(UserError):
        find_call(RECORDED, CALL, pbx="another")
