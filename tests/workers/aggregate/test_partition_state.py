"""The protocol's rules one by one: rows of a partition in, effects and checkpoints out. Seconds count from START."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.kafka.committed import METADATA_LIMIT, Committed
from streams.rows.row import CapturedRow
from streams.rules import load_rules
from streams.settings import AggregateSettings
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.restore import restore
from streams.workers.aggregate.steps import (
    AwaitSent,
    CallEnded,
    CallWithheld,
    Commit,
    Fence,
    Limits,
    PassedOver,
    ReadCommitted,
    ReadEnd,
    ReadSnapshots,
    Replay,
    RowEffect,
    RowRefused,
    TopicMadeAgain,
    WriteSnapshots,
)

START = 1_795_390_000
LIMITS = Limits(settle_ms=0, quiet_ms=10_000, time_limit_ms=3600_000, grace_ms=900_000, backfill_grace_ms=20_000)
SETTLING = replace(LIMITS, settle_ms=50)


class Log:
    """Rows given to a partition, one offset after the other."""

    def __init__(self, partition: PartitionState | None = None) -> None:
        self.partition = partition or PartitionState(LIMITS)
        self._offset = self.partition.position
        self._id = self._offset

    def row(
        self, event: str, seconds: float, call: str = "0", pbx: str = "north", op: str = "c", row_id: int | None = None
    ) -> RowEffect | None:
        """Take the next row; `call` counts the seconds from START to the call's begin."""
        linkedid = f"{START + int(call)}.1" if call.isdigit() else call
        self._id += 1
        captured = CapturedRow(
            id=self._id if row_id is None else row_id,
            eventtype=event,
            eventtime="2026-11-23 10:00:00",
            linkedid=linkedid,
            uniqueid=linkedid,
            channame="PJSIP/trunk1-00000001",
            op=op,
            commit_ms=round((START + seconds) * 1000),
            pbx=pbx,
        )
        effect = self.partition.row(self._offset, captured)
        self._offset += 1
        return effect

    def tick(self, seconds: float, end: int | None = None) -> list[str]:
        """Let the timer run at a clock; the ids of the calls that it ended."""
        return [call.linkedid for call in self.ended(seconds, end)]

    def ended(self, seconds: float, end: int | None = None) -> list[Call]:
        """The same; the calls."""
        now = round((START + seconds) * 1000)
        return [finished.call for finished in self.partition.tick(now, self._offset if end is None else end)]


def checkpoint(partition: PartitionState, *, written: bool = True, confirmed: bool = True) -> list[Any]:
    """Carry a checkpoint out; its steps."""
    steps, taken = partition.checkpoint(), []
    try:
        step = next(steps)
        while True:
            taken.append(step)
            step = steps.send({WriteSnapshots: written, Commit: confirmed}.get(type(step), True))
    except StopIteration:
        return taken


def restored(
    committed: Committed | None,
    snapshots: Mapping[str, bytes],
    rows: Mapping[int, CapturedRow] = {},
    end: int = 100,
    limits: Limits = LIMITS,
    end_before: int | None = None,
) -> tuple[PartitionState, list[Any]]:
    """Take a partition over; the partition and the steps. `end_before`: where the topic ended when that was asked, if
    rows came since."""
    steps: Generator[Any, Any, PartitionState] = restore(limits, 0, end if end_before is None else end_before)
    taken, answer = [], None
    try:
        while True:
            step = steps.send(answer)
            taken.append(step)
            answer = {ReadCommitted: committed, ReadSnapshots: snapshots, ReadEnd: end}.get(type(step))
            if isinstance(step, Replay):
                for offset in range(step.start, step.end):
                    step.partition.replay(offset, rows[offset])
    except StopIteration as done:
        return done.value, taken


def test_rows_that_came_after_the_end_was_asked_and_were_committed_are_replayed_too() -> None:
    first = Log()
    first.row("CHAN_START", 0)
    rows = {0: first.partition.calls[f"north/{START}.1"].call.rows[0]}
    row = CapturedRow(**{name: getattr(rows[0], name) for name in rows[0].__struct_fields__}, pbx="north")
    committed = Committed(1, Marker(0, {}).encode())
    partition, steps = restored(committed, {}, {0: row}, end=1, end_before=0)
    assert [(step.start, step.end) for step in steps if isinstance(step, Replay)] == [(0, 1)]
    assert partition.open_calls == 1 and partition.position == 1


def test_a_call_ends_with_its_linkedid_end_and_again_with_every_row_after_it() -> None:
    log = Log()
    assert log.row("CHAN_START", 0) is None
    ended = log.row("LINKEDID_END", 5)
    assert isinstance(ended, CallEnded)
    assert not ended.cut_short
    late = log.row("HANGUP", 6)
    assert isinstance(late, CallEnded)
    assert late.call.version == (3, 3)


def test_a_repeated_row_changes_nothing() -> None:
    log = Log()
    log.row("LINKEDID_END", 5)
    assert log.row("LINKEDID_END", 5, row_id=1) is None


def test_quiet_time_ends_a_call_whose_channels_have_ended() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    assert log.tick(3599) == []
    log.row("CHAN_END", 100)
    assert log.tick(109) == []
    assert log.tick(110) == [f"{START}.1"]
    assert log.tick(111) == []


def test_the_time_limit_cuts_a_call_short() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    finished = log.partition.tick((START + 3600) * 1000, 1)
    assert [isinstance(each, CallEnded) and each.cut_short for each in finished] == [True]


def test_rows_that_come_after_linkedid_end_in_one_transaction_are_judged_with_it() -> None:
    log = Log(PartitionState(SETTLING))
    for event in ("LINKEDID_END", "CHAN_END", "HANGUP", "CHAN_START"):
        assert log.row(event, 0) is None
        assert log.ended(3) == []  # the clock is far past the commit time, which is in whole seconds
    assert log.ended(3.049) == []
    assert [call.version for call in log.ended(3.05)] == [(4, 4)]
    assert not log.partition.settling


def test_the_settle_time_begins_anew_with_every_row() -> None:
    log = Log(PartitionState(SETTLING))
    log.row("LINKEDID_END", 0)
    assert log.ended(1) == []
    log.row("HANGUP", 0)
    assert log.ended(1.05) == []
    assert [call.version for call in log.ended(1.1)] == [(2, 2)]


def test_stream_time_settles_a_call_while_rows_are_still_to_be_read_and_the_clock_does_not() -> None:
    log = Log(PartitionState(SETTLING))
    log.row("LINKEDID_END", 0)
    assert log.ended(100, end=9) == []
    assert log.ended(200, end=9) == []
    log.row("CHAN_START", 0.05, call="1")
    assert [call.linkedid for call in log.ended(200, end=9)] == [f"{START}.1"]


def test_a_clock_that_is_put_back_does_not_keep_a_call() -> None:
    log = Log(PartitionState(SETTLING))
    log.row("LINKEDID_END", 0)
    assert log.ended(5000) == []
    assert log.ended(1400) == []
    assert len(log.ended(1400.05)) == 1


def test_a_row_after_a_call_was_judged_is_a_later_version_after_its_own_settle_time() -> None:
    log = Log(PartitionState(SETTLING))
    log.row("LINKEDID_END", 5)
    assert log.ended(5) == []
    assert [call.version for call in log.ended(6)] == [(1, 1)]
    assert log.row("HANGUP", 5) is None
    assert log.partition.open_calls == 1
    assert log.ended(7) == []
    assert [call.version for call in log.ended(8)] == [(2, 2)]


@pytest.mark.parametrize("limits", [SETTLING, LIMITS], ids=["settle time", "judged at once"])
def test_a_call_in_its_settle_time_is_judged_by_the_next_owner(limits: Limits) -> None:
    log = Log(PartitionState(SETTLING))
    log.row("CHAN_START", 0)
    log.row("LINKEDID_END", 5)
    _, write, _, commit = checkpoint(log.partition)
    committed = Committed(commit.offset, commit.marker.encode())
    again = Log(restored(committed, dict(write.records), limits=limits)[0])
    assert again.ended(6) == []
    assert [call.version for call in again.ended(7)] == [(2, 2)]


@pytest.mark.parametrize("limits", [SETTLING, LIMITS], ids=["settle time", "judged at once"])
def test_a_call_whose_linkedid_end_is_replayed_is_judged_again(limits: Limits) -> None:
    row = CapturedRow(
        id=1, eventtype="LINKEDID_END", eventtime="x", linkedid=f"{START}.1", pbx="north", commit_ms=START * 1000
    )
    partition, _ = restored(Committed(1, Marker(0, {}).encode()), {}, {0: row}, limits=limits)
    again = Log(partition)
    assert again.ended(1) == []
    assert [call.version for call in again.ended(2)] == [(1, 1)]


def test_a_call_in_its_settle_time_keeps_the_timer_from_no_other() -> None:
    log = Log(PartitionState(SETTLING))
    log.row("LINKEDID_END", 0)
    log.row("CHAN_START", 0, call="1")
    log.row("CHAN_END", 0, call="1")
    assert log.ended(5) == []
    log.row("HANGUP", 11)  # the settle time of the first begins anew
    assert log.tick(11) == [f"{START + 1}.1"]
    assert log.tick(12) == [f"{START}.1"]


def test_a_new_row_undoes_an_ending_by_the_timer() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    log.row("CHAN_END", 1)
    assert log.tick(20) == [f"{START}.1"]
    assert log.row("CHAN_START", 20) is None
    assert log.partition.open_calls == 1
    assert log.tick(100) == [f"{START}.1"]


def test_a_call_that_goes_on_after_the_timer_ended_it_is_open_in_the_next_checkpoint() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    log.row("CHAN_END", 1)
    log.tick(20)
    log.row("CHAN_START", 20)
    _, write, _, commit = checkpoint(log.partition)
    again, _ = restored(Committed(commit.offset, commit.marker.encode()), dict(write.records))
    assert again.open_calls == 1


def test_the_timer_says_nothing_more_of_a_call_that_has_ended() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    log.row("LINKEDID_END", 5)
    assert log.partition.open_calls == 0
    assert log.tick(100_000) == []


def test_the_clock_says_nothing_while_rows_are_still_to_be_read() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    log.row("CHAN_END", 1)
    assert log.tick(1_000_000, end=3) == []
    log.row("CHAN_START", 12, call="12")  # but stream time does
    assert log.tick(1_000_000, end=4) == [f"{START}.1"]


def test_a_row_of_a_call_that_began_before_capture_is_a_dead_letter_with_what_heals_it() -> None:
    late = Log().row("HANGUP", 901)
    assert isinstance(late, RowRefused)
    assert late.call_id == f"north/{START}.1"
    assert f"linkedid = '{START}.1'" in late.explanation
    assert late.reason.code == "late_row"


def test_a_row_within_the_grace_time_of_its_linkedid_opens_a_call() -> None:
    assert Log().row("HANGUP", 900) is None


def test_a_row_of_a_known_call_past_its_deadline_is_a_dead_letter() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    log.row("LINKEDID_END", 5)
    assert isinstance(log.row("HANGUP", 905), CallEnded)
    assert isinstance(log.row("HANGUP", 1806), RowRefused)


def test_a_call_takes_rows_until_the_last_millisecond_of_its_grace_time() -> None:
    log = Log()
    log.row("LINKEDID_END", 5)
    assert isinstance(log.row("HANGUP", 905), CallEnded)
    log = Log()
    log.row("LINKEDID_END", 5)
    assert isinstance(log.row("HANGUP", 905.001), RowRefused)


def test_a_backfilled_call_takes_streamed_rows_for_the_shorter_grace_time() -> None:
    log = Log()
    log.row("LINKEDID_END", 5, op="r")
    assert isinstance(log.row("HANGUP", 25), CallEnded)
    log = Log()
    log.row("LINKEDID_END", 5, op="r")
    assert isinstance(log.row("HANGUP", 25.001), RowRefused)


def test_a_call_of_endless_rows_takes_no_more_but_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.calls.call.MAX_ROWS", 3)
    log = Log()
    assert [log.row("DTMF", second) for second in range(3)] == [None, None, None]
    refused = log.row("DTMF", 4)
    assert isinstance(refused, RowRefused)
    assert refused.reason.code == "too_many_rows"
    ended = log.row("LINKEDID_END", 5)
    assert isinstance(ended, CallEnded)
    result = classify(ended.call, load_rules(), PbxProfile()).result
    assert (result.complete, result.version_rows) == (False, 4)


def test_each_pbx_has_its_own_stream_time() -> None:
    log = Log()
    log.row("CHAN_START", 100_000, call="100000", pbx="south")
    assert log.row("CHAN_START", 1) is None
    assert log.partition.times == {"south": (START + 100_000) * 1000, "north": (START + 1) * 1000}


def test_stream_time_never_goes_back() -> None:
    log = Log()
    log.row("CHAN_START", 1000, call="1000")
    assert isinstance(log.row("CHAN_START", 0), RowRefused)


def test_a_backfilled_row_opens_a_call_however_old_and_streamed_ones_may_follow() -> None:
    log = Log()
    log.row("CHAN_START", 100_000, call="100000")
    assert log.row("CHAN_START", 100_000, op="r") is None
    ended = log.row("LINKEDID_END", 100_001)
    assert isinstance(ended, CallEnded)
    assert not ended.backfilled


def test_a_call_of_backfilled_rows_alone_says_so() -> None:
    ended = Log().row("LINKEDID_END", 100_000, op="r")
    assert isinstance(ended, CallEnded)
    assert ended.backfilled


def test_a_linkedid_without_a_second_is_opened_by_its_first_channel_only() -> None:
    assert isinstance(Log().row("HANGUP", 0, call="odd"), RowRefused)
    log = Log()
    assert log.row("CHAN_START", 0, call="odd") is None
    assert isinstance(log.row("LINKEDID_END", 1, call="odd"), CallEnded)


def test_a_linkedid_from_the_future_is_treated_as_one_without_a_second() -> None:
    assert isinstance(Log().row("HANGUP", 0, call="9000000"), RowRefused)
    assert Log().row("HANGUP", 0, call="86400") is None  # a day ahead is a clock that is wrong
    assert isinstance(Log().row("HANGUP", 0, call="86401"), RowRefused)


def test_a_checkpoint_waits_writes_waits_and_commits_with_the_marker() -> None:
    log = Log()
    log.row("CHAN_START", 1)
    first, write, second, commit = checkpoint(log.partition)
    assert (first, second) == (AwaitSent(), AwaitSent())
    assert [key for key, value in write.records if value] == [f"north/{START}.1"]
    assert commit == Commit(1, Marker(1, {"north": (START + 1) * 1000}))
    assert checkpoint(log.partition) == []  # nothing new


def test_what_a_failed_flush_held_is_written_again_and_the_marker_stays() -> None:
    log = Log()
    log.row("CHAN_START", 1)
    *_, commit = checkpoint(log.partition, written=False)
    assert commit == Commit(1, Marker(0, {}))
    _, write, _, commit = checkpoint(log.partition)
    assert [key for key, _ in write.records] == [f"north/{START}.1"]
    assert commit.marker.offset == 1


def test_an_ended_call_is_forgotten_with_a_tombstone_when_the_confirmed_marker_is_past_its_deadline() -> None:
    log = Log()
    log.row("LINKEDID_END", 0)
    log.row("CHAN_START", 901, call="901")
    checkpoint(log.partition, confirmed=False)
    assert len(log.partition.calls) == 2
    checkpoint(log.partition)
    assert len(log.partition.calls) == 2  # confirmed only now
    _, write, *_ = checkpoint(log.partition)
    assert write.records == [(f"north/{START}.1", None)]
    assert list(log.partition.calls) == [f"north/{START + 901}.1"]


def is_kept(log: Log, seconds: float, key: str = f"north/{START}.1") -> bool:
    """Whether the call is still there when a marker of that time was confirmed."""
    log.row("CHAN_START", seconds, call=str(int(seconds)))
    checkpoint(log.partition)
    checkpoint(log.partition)
    return key in log.partition.calls


def test_a_call_is_not_forgotten_before_its_deadline_is_past() -> None:
    log = Log()
    log.row("LINKEDID_END", 5)
    assert is_kept(log, 905)
    assert not is_kept(log, 906)


def test_an_open_call_is_never_forgotten() -> None:
    log = Log()
    log.row("CHAN_START", 0)
    assert is_kept(log, 1_000_000)


def test_a_call_ahead_of_the_databases_clock_stays_until_its_rows_would_be_refused() -> None:
    log, ahead = Log(), f"north/{START + 2000}.1"
    log.row("LINKEDID_END", 0, call="2000")
    assert is_kept(log, 1500, ahead)
    assert is_kept(log, 2900, ahead)
    assert not is_kept(log, 2901, ahead)


def test_a_call_without_a_second_in_its_linkedid_is_forgotten_by_its_deadline_alone() -> None:
    log = Log()
    log.row("CHAN_START", 0, call="odd")
    log.row("LINKEDID_END", 1, call="odd")
    assert is_kept(log, 901, "north/odd")
    assert not is_kept(log, 902, "north/odd")


def test_a_known_row_that_is_backfilled_puts_off_when_its_call_is_forgotten() -> None:
    log = Log()
    log.row("LINKEDID_END", 5)
    log.row("LINKEDID_END", 100, op="r", row_id=1)
    assert is_kept(log, 1000)
    assert not is_kept(log, 1001)


def test_calls_that_ended_several_times_and_that_are_open_again_hold_up_no_other() -> None:
    log = Log()
    log.row("LINKEDID_END", 5, call="1")
    log.row("HANGUP", 6, call="1")
    log.row("LINKEDID_END", 6, call="2")
    log.row("CHAN_START", 6, call="3")
    assert log.tick(6 + 3600) == [f"{START + 3}.1"]
    log.row("HANGUP", 7, call="3")
    log.row("CHAN_START", 8, call="4")
    log.row("LINKEDID_END", 8, call="4")
    assert is_kept(log, 2000, f"north/{START + 3}.1")
    assert set(log.partition.calls) == {f"north/{START + 3}.1", f"north/{START + 2000}.1"}


def test_a_restored_partition_holds_the_same_calls_and_replays_what_its_snapshots_lack() -> None:
    log = Log()
    log.row("CHAN_START", 1)
    _, write, _, commit = checkpoint(log.partition)
    later = CapturedRow(
        id=2, eventtype="LINKEDID_END", eventtime="x", linkedid=f"{START}.1", pbx="north", commit_ms=(START + 3) * 1000
    )
    committed = Committed(2, commit.marker.encode())
    partition, steps = restored(committed, dict(write.records), {1: later})
    assert [type(step) for step in steps] == [Fence, ReadCommitted, ReadSnapshots, Replay]
    assert partition.position == 2
    assert partition.calls[f"north/{START}.1"].call.version == (2, 2)
    assert partition.times == {"north": (START + 3) * 1000}
    assert [type(step) for step in checkpoint(partition)] == [AwaitSent, WriteSnapshots, AwaitSent, Commit]


def test_rows_to_be_replayed_that_retention_has_removed_are_asked_for_all_the_same() -> None:
    marker = Marker(5, {"north": 1})
    steps = restore(LIMITS, 8, 100)
    assert isinstance(next(steps), Fence)
    assert isinstance(steps.send(None), ReadCommitted)
    assert isinstance(steps.send(Committed(10, marker.encode())), ReadSnapshots)
    replay = steps.send({})
    assert isinstance(replay, Replay)
    assert (replay.start, replay.end) == (5, 10)  # who carries it out says what is gone


def test_a_group_without_offsets_begins_at_the_topics_first_row() -> None:
    partition, steps = restored(None, {})
    assert (partition.position, partition.times) == (0, {})
    assert [type(step) for step in steps] == [Fence, ReadCommitted, ReadSnapshots]


def test_an_offset_set_by_hand_has_no_marker_and_begins_there() -> None:
    partition, steps = restored(Committed(7, ""), {})
    assert (partition.position, partition.times) == (7, {})
    assert steps[-1] == PassedOver(0, 7)


def test_an_offset_set_by_hand_passes_over_what_no_checkpoint_holds() -> None:
    log = Log()
    for second in range(5):
        log.row("CHAN_START", second)
    _, write, *_ = checkpoint(log.partition)
    _, steps = restored(Committed(9, ""), dict(write.records))
    assert steps[-1] == PassedOver(5, 9)
    for offset in (0, 3, 5):  # set back, or to where the work was done
        _, steps = restored(Committed(offset, ""), dict(write.records))
        assert [type(step) for step in steps] == [Fence, ReadCommitted, ReadSnapshots]


def test_what_was_committed_for_an_earlier_topic_of_that_name_hides_no_row() -> None:
    log = Log(PartitionState(LIMITS, 5))
    log.row("CHAN_START", 1)
    _, write, *_ = checkpoint(log.partition)
    steps = restore(LIMITS, 0, 9, made_again=True)
    taken, answer = [], None
    try:
        while True:
            taken.append(step := steps.send(answer))
            answer = dict(write.records) if isinstance(step, ReadSnapshots) else None
    except StopIteration as done:
        partition = done.value
    assert taken[-1] == TopicMadeAgain(0) and partition.position == 0
    Log(partition).row("LINKEDID_END", 2, row_id=9)  # at an offset that the snapshot covers
    [call] = [each.call for each in partition.calls.values()]
    assert len(call.rows) == 2


def test_snapshots_of_an_earlier_topic_of_that_name_do_not_hide_rows() -> None:
    log = Log(PartitionState(LIMITS, 5000))
    log.row("CHAN_START", 1)
    _, write, *_ = checkpoint(log.partition)
    partition, steps = restored(None, dict(write.records), end=2)
    assert steps[-1] == TopicMadeAgain(0)
    Log(partition).row("LINKEDID_END", 2, row_id=9)
    [call] = [each.call for each in partition.calls.values()]
    assert len(call.rows) == 2
    [ended] = partition.end_settled((START + 3) * 1000, 1) or partition.end_settled((START + 30) * 1000, 1)
    assert isinstance(ended, CallWithheld), "rows of it may have stood on the earlier topic"


def test_the_marker_survives_the_commits_metadata() -> None:
    marker = Marker(12, {"north": 1, "юг": 2})
    assert Marker.decode(marker.encode()) == marker
    assert Marker.decode("") is None
    assert Marker.decode('{"f":1}') is None


def test_the_marker_of_hundreds_of_pbxs_fits_and_keeps_those_heard_last() -> None:
    marker = Marker(1, {f"pbx-{number:03}": number for number in range(500)})
    encoded = marker.encode()
    assert len(encoded) <= METADATA_LIMIT
    decoded = Marker.decode(encoded)
    assert decoded is not None
    assert "pbx-499" in decoded.times
    assert "pbx-000" not in decoded.times


def test_the_limits_come_from_the_settings_in_seconds() -> None:
    limits = Limits.of(AggregateSettings(quiet_seconds=2, time_limit_seconds=30, grace_seconds=5, settle_seconds=0.2))
    assert limits == Limits(settle_ms=200, quiet_ms=2000, time_limit_ms=30_000, grace_ms=5000, backfill_grace_ms=5000)
