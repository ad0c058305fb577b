"""Open calls among others: what one look finds of several PBXs, and what a loss changes. Seconds count from START."""

from streams.workers.aggregate.deadlines import Deadlines
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import CallWithheld
from tests.workers.aggregate.test_partition_state import SETTLING, START, Log


def log_of_settling() -> Log:
    return Log(PartitionState(SETTLING))


def test_one_look_finds_quiet_calls_of_every_pbx() -> None:
    log = log_of_settling()
    for pbx in ("north", "south"):
        log.row("CHAN_START", 0, pbx=pbx)
        log.row("CHAN_END", 0, pbx=pbx)
    assert {call.pbx for call in log.ended(10)} == {"north", "south"}


def test_one_look_finds_calls_that_settled_by_stream_time_and_by_the_clock() -> None:
    log = log_of_settling()
    log.row("LINKEDID_END", 0, pbx="south")
    assert log.ended(5) == []
    log.row("LINKEDID_END", 0, pbx="north")
    log.row("CHAN_START", 1, call="1", pbx="north")
    assert {call.pbx for call in log.ended(6)} == {"north", "south"}


def test_the_quiet_time_does_not_end_a_call_in_its_settle_time() -> None:
    log = log_of_settling()
    for event in ("CHAN_START", "CHAN_END", "LINKEDID_END"):
        log.row(event, 0)
    assert log.ended(20) == []
    assert len(log.ended(21)) == 1


def test_a_call_in_its_settle_time_waits_for_a_backfill_once_rows_are_lost() -> None:
    log = log_of_settling()
    log.row("LINKEDID_END", 0)
    assert log.ended(5) == []
    assert log.partition.settling
    log.partition.lose(log.partition.position)
    assert not log.partition.settling
    end, clock = log.partition.position, (START + 5) * 1000
    assert log.partition.end_settled(clock + 50, end) == []
    assert log.partition.end_settled(clock + 19_999, end) == []
    [withheld] = log.partition.end_settled(clock + 20_000, end)
    assert isinstance(withheld, CallWithheld)


def test_a_call_that_was_looked_at_too_early_is_looked_at_again() -> None:
    log = log_of_settling()
    log.row("CHAN_START", 0)
    log.row("DTMF", 100)
    assert log.ended(3600) == []
    assert len(log.ended(3700)) == 1


def test_the_first_row_of_the_open_calls_is_that_of_their_pbx() -> None:
    log = log_of_settling()
    log.row("CHAN_START", 0)
    assert log.partition.first_row_of_open_calls("north") == "2026-11-23T10:00:00"
    assert log.partition.first_row_of_open_calls("south") is None


def test_dropped_keys_leave_at_most_half_of_the_order() -> None:
    deadlines = Deadlines()
    for number in range(1000):
        deadlines.put(str(number), number)
    for number in range(600):
        deadlines.drop(str(number))
        assert len(deadlines._heap) <= 2 * len(deadlines._times) + 64
    assert len(deadlines.take(1000)) == 400
