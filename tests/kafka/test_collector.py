"""The garbage collector while many records are read."""

import gc

from streams.kafka.collector import fewer_collections


def test_readers_may_overlap_and_leave_it_as_it_was() -> None:
    usual = gc.get_threshold()
    first, second = fewer_collections(), fewer_collections()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold()[0] > usual[0]
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] > usual[0]
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual


def test_it_stays_off_where_somebody_turned_it_off() -> None:
    usual = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with fewer_collections():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*usual)
