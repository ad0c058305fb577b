"""The aggregate worker as a process on real servers: rows in, results, legs and dead letters out."""

import asyncio
import random
import signal
import subprocess
import time

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

from connectors.topics import apply_topics
from streams.calls.capture_mark import CaptureMark
from streams.calls.result import CallResult
from streams.kafka.topic_client import KafkaTopics, Outgoing
from streams.operations.complete_until import PbxComplete, read_complete_until
from streams.operations.connection import connect
from streams.settings import Settings
from streams.workers.aggregate.complete_until import ROW_DELAY_MS
from tests.worker_installation import Installation, NewInstallation, Row, Tail, captured, last_versions, recorded_rows

pytestmark = pytest.mark.servers


def opening_row(number: int, linkedid: str, event: str = "CHAN_START") -> Row:
    row = {"id": number, "eventtype": event, "eventtime": "2026-11-23 10:00:00", "uniqueid": linkedid}
    return {**row, "linkedid": linkedid, "channame": "PJSIP/trunk1-00000001", "cid_num": "74951234567"}


async def results_of(installation: Installation, rows: list[Row], seconds: float = 90.0) -> None:
    """Wait until the last result of every call is that of all its rows, and check every field of it."""
    expected = installation.expected(rows)
    serializer = await installation.serializer()
    versions = {(call_id, result["version"]) for call_id, result in expected.items()}

    async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
        read, seen = 0, set[tuple[str, int]]()

        def complete(records: list) -> bool:  # type: ignore[type-arg]
            nonlocal read
            for record in records[read:]:
                result = serializer.decode(record.value)
                seen.add((result["call_id"], result["version"]))
            read = len(records)
            return versions <= seen

        await results.until(complete, seconds)
        assert last_versions(results.records, serializer) == expected


async def test_every_recorded_call_gets_the_result_of_its_rows(install: NewInstallation) -> None:
    async with install() as installation:
        installation.start_worker()
        rows = recorded_rows()
        await installation.produce(rows)
        await results_of(installation, rows)

        serializer = await installation.serializer()
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            await results.until(bool)
            headers = dict(results.records[0].headers)
            assert headers["origin"] == b"live"
            assert abs(int(headers["processed_at"]) / 1e6 - time.time()) < 120
        answered = "pbx1/1795389780.0"
        async with Tail(installation.bootstrap_servers, installation.topic("call-legs")) as legs:
            await legs.until(lambda records: any(record.key == answered.encode() for record in records))
            own = [serializer.decode(leg.value) for leg in legs.records if leg.key == answered.encode()]
            assert [leg["number"] for leg in own if leg["leg"] == 1]
        await complete_until_each_mark(installation, max(call.started_at for call in calls_of(installation, rows)))


async def complete_until_each_mark(installation: Installation, began: int) -> None:
    """The time passes the start of the last call (microseconds), and moves with each mark while no row comes."""
    settings = installation.settings
    for later in (1, 2):
        until = began // 1000 + 3_600_000 * later
        async with KafkaTopics(settings.kafka, uncommitted=True) as topics:
            ends = await topics.ends(installation.topic("cel"))
            mark = CaptureMark("pbx1", until, ends)
            await topics.send([Outgoing(installation.topic("capture-marks"), b"pbx1", mark.encode(), 0)])
        complete = await until_complete(settings, began + 3_600_000_000 * (later - 1))
        assert complete.captured == until * 1000
        assert complete.until == (until - ROW_DELAY_MS) * 1000
        assert complete.partitions == complete.told == installation.partitions


def calls_of(installation: Installation, rows: list[Row]) -> list[CallResult]:
    return [CallResult(**result) for result in installation.expected(rows).values()]


async def until_complete(settings: Settings, after: int) -> PbxComplete:
    """Wait until every call that began before that time (microseconds) is said to be on the topic."""
    async with connect(settings) as connection, asyncio.timeout(60):
        while True:
            for complete in await read_complete_until(connection):
                if complete.until is not None and complete.until > after:
                    return complete
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_rows_are_read_whatever_codec_compressed_them(install: NewInstallation, codec: str) -> None:
    async with install() as installation:
        installation.start_worker()
        rows = recorded_rows()[:200]
        produce_compressed(installation, rows, codec)
        await results_of(installation, rows)


def produce_compressed(installation: Installation, rows: list[Row], codec: str) -> None:
    """Write rows as librdkafka does, whose compression is not that of the library which reads them."""
    producer = Producer({"bootstrap.servers": installation.bootstrap_servers, "compression.type": codec})
    place = DefaultPartitioner()
    known = list(range(installation.partitions))
    for row in rows:
        key = row["linkedid"].encode()
        producer.produce(installation.topic("cel"), orjson.dumps(row), key, place(key, known, known))
    assert producer.flush(30) == 0


async def test_poison_goes_to_the_dead_letters_untouched_and_the_worker_goes_on(install: NewInstallation) -> None:
    async with install() as installation:
        installation.start_worker()
        poison = [b"", b"\xff\xfe", b"[1]", b"null", b'{"id": 1}', None, b'{"id":-1,"eventtype":1e999}', b"{" * 100_000]
        poison.append(b'{"id":7,"eventtype":"ANSWER","eventtime":"x","linkedid":"1.1","__source_ts_ms":99999999999999}')
        rows = recorded_rows()[:200]
        await installation.produce([*rows[:100], *poison, *rows[100:]])
        serializer = await installation.serializer()
        async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
            await dead.until(lambda records: len(records) >= len(poison))
            letters = [serializer.decode(record.value, "dead_letter") for record in dead.records]
        assert sorted(letter["value"] or b"" for letter in letters) == sorted(value or b"" for value in poison)
        assert {letter["reason"] for letter in letters} == {"unreadable_row"}
        assert all(letter["topic"] == installation.topic("cel") and letter["explanation"] for letter in letters)
        assert {letter["key"] for letter in letters} == {b"poison"}
        await results_of(installation, rows)


async def ended(installation: Installation, worker: subprocess.Popen[bytes]) -> str:
    """Wait until a worker has stopped as for a fault that a person mends; its log."""
    assert await asyncio.to_thread(worker.wait, 60) == 2
    return installation.log_of(worker)


async def test_a_source_that_gives_rubbish_stops_the_worker_until_somebody_lets_it_pass(
    install: NewInstallation,
) -> None:
    rows = recorded_rows()[:400]
    installation = install(unreadable_window=100)
    installation.partitions = 1  # so that all rows are taken in the order in which they were written
    async with installation:
        serializer = await installation.serializer()

        async def dead_letters() -> list[str]:
            async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
                return [serializer.decode(record.value)["reason"] for record in await dead.everything()]

        first = installation.start_worker()
        await installation.produce(rows[:200])
        await installation.produce([b"rubbish"] * 80)
        said = await ended(installation, first)
        assert "51 of the last 100 CEL rows cannot be read" in said
        assert "51 times: not JSON" in said
        assert await dead_letters() == ["unreadable_row"] * 50

        again = await ended(installation, installation.start_worker())
        assert "CEL rows cannot be read" in again
        assert await dead_letters() == ["unreadable_row"] * 50, "a restart filled the dead letters, or repeated some"

        await installation.produce(rows[200:])
        installation.aggregate["max_unreadable_share"] = 1
        installation.start_worker()
        await results_of(installation, rows)
        assert await dead_letters() == ["unreadable_row"] * 80


async def test_a_worker_goes_on_where_rows_become_readable_and_does_not_stop_for_what_it_passed(
    install: NewInstallation,
) -> None:
    rows = recorded_rows()[:200]
    async with install(unreadable_window=100) as installation:
        first = installation.start_worker()
        await installation.produce([b"rubbish"] * 50)
        async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
            await dead.until(lambda records: len(records) == 50)
        first.terminate()
        assert await asyncio.to_thread(first.wait, 30) == 0
        second = installation.start_worker()
        await installation.produce(rows)
        await results_of(installation, rows)
        assert second.poll() is None


async def test_killed_five_times_no_call_is_lost_or_wrong(install: NewInstallation) -> None:
    rng = random.Random(7)
    rows = [row for pbx in ("north", "south", "east", "west") for row in recorded_rows(pbx)]
    async with install() as installation:
        worker = installation.start_worker(instance="one")
        producing = asyncio.create_task(installation.produce(rows, per_second=600))
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            for _ in range(5):
                await results.until_more(rng.randint(20, 120))
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                worker = installation.start_worker(instance="one")
        await producing
        await results_of(installation, rows)
        async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
            serializer = await installation.serializer()
            end = await dead._consumer.end_offsets(dead._consumer.assignment())
            await dead.until(lambda records: len(records) >= sum(end.values()))
            assert [serializer.decode(record.value)["explanation"] for record in dead.records] == []


async def test_calls_without_an_end_end_by_time(install: NewInstallation) -> None:
    async with install(quiet_seconds=1, time_limit_seconds=4) as installation:
        installation.start_worker()
        now = int(time.time())
        quiet = [opening_row(1, f"{now}.1"), opening_row(2, f"{now}.1", "CHAN_END")]
        cut = [opening_row(3, f"{now}.2")]
        await installation.produce([captured(row) for row in quiet + cut])
        serializer = await installation.serializer()
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            await results.until(lambda records: len(records) >= 2)
            last = last_versions(results.records, serializer)
        assert last[f"pbx1/{now}.1"]["complete"]
        assert not last[f"pbx1/{now}.2"]["complete"]
        assert last[f"pbx1/{now}.2"]["incomplete_reason"]


async def test_a_row_after_the_grace_time_is_a_dead_letter_with_what_heals_it(install: NewInstallation) -> None:
    async with install(grace_seconds=2) as installation:
        installation.start_worker()
        now = int(time.time())
        call = f"{now}.1"
        ended = [opening_row(1, call), opening_row(2, call, "CHAN_END"), opening_row(3, call, "LINKEDID_END")]
        late = captured(opening_row(4, call, "HANGUP"), commit_ms=(now + 10) * 1000)
        await installation.produce([*(captured(row, commit_ms=now * 1000) for row in ended), late])
        serializer = await installation.serializer()
        async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
            await dead.until(bool)
            letter = serializer.decode(dead.records[0].value)
        assert (letter["reason"], letter["call_id"]) == ("late_row", f"pbx1/{call}")
        assert f"linkedid = '{call}'" in letter["explanation"]


async def remove_before(installation: Installation, offset: int) -> None:
    """Remove the rows before an offset of partition 0, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(installation.topic("cel"), 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


async def expired_letters(installation: Installation) -> list[Row]:
    """The dead letters about rows that are gone, when there is one."""
    serializer = await installation.serializer()
    async with Tail(installation.bootstrap_servers, installation.topic("dead-letters")) as dead:
        await dead.until(bool)
        letters = [serializer.decode(record.value, "dead_letter") for record in await dead.everything()]
    return [letter for letter in letters if letter["reason"] == "expired_rows"]


def ended_call(number: int) -> list[Row]:
    """The two rows of a call of its own, committed now."""
    linkedid = f"{int(time.time())}.{number}"
    return [
        captured(opening_row(2 * number + 1, linkedid)),
        captured(opening_row(2 * number + 2, linkedid, "LINKEDID_END")),
    ]


async def test_rows_that_expired_under_a_stopped_worker_are_told_with_what_recovers_them(
    install: NewInstallation,
) -> None:
    installation = install()
    installation.partitions = 1
    async with installation:
        first = installation.start_worker()
        taken = ended_call(0)
        await installation.produce(taken)
        await results_of(installation, taken)
        first.terminate()
        assert await asyncio.to_thread(first.wait, 30) == 0
        later = ended_call(9)
        await installation.produce([row for number in range(1, 6) for row in ended_call(number)])
        await installation.produce(later)
        await remove_before(installation, 12)
        second = installation.start_worker()
        [letter] = await expired_letters(installation)
        assert (letter["topic"], letter["partition"], letter["offset"]) == (installation.topic("cel"), 0, 2)
        assert (letter["key"], letter["value"], letter["component"]) == (None, None, "aggregate")
        assert "offsets 2 to 11 of " in letter["explanation"] and "(10 records" in letter["explanation"]
        assert abs(letter["timestamp"] / 1000 - time.time()) < 120, "when the last row before them was committed"
        [remedy] = [header["value"].decode() for header in letter["headers"] if header["name"] == "remedy"]
        assert remedy.startswith("cel2crm backfill --since 20") and remedy in letter["explanation"]
        await results_of(installation, taken + later)
        assert "records are lost to this worker" in installation.log_of(second)


async def test_rows_that_expire_while_the_worker_runs_are_told(install: NewInstallation) -> None:
    installation = install()
    installation.partitions = 1
    async with installation:
        worker = installation.start_worker()
        taken = ended_call(0)
        await installation.produce(taken)
        await results_of(installation, taken)
        worker.send_signal(signal.SIGSTOP)  # shorter than its session: it keeps its partition
        for number in range(1, 6):
            await installation.produce(ended_call(number))
        await remove_before(installation, 12)
        later = ended_call(9)
        await installation.produce(later)
        worker.send_signal(signal.SIGCONT)
        [letter] = await expired_letters(installation)
        assert f"to 11 of {installation.topic('cel')}, partition 0 (" in letter["explanation"]
        assert 2 <= letter["offset"] <= 11  # a fetch that was under way may have brought the first rows
        expected = installation.expected(taken + later)
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            await results.until(lambda records: set(expected) <= {record.key.decode() for record in records})
        assert worker.poll() is None


async def test_a_topic_made_again_under_a_running_worker_is_noticed_within_seconds(install: NewInstallation) -> None:
    async with install() as installation:
        worker = installation.start_worker()
        await until_logged(installation, worker, "partition taken over")
        taken = ended_call(0)
        await installation.produce(taken)
        await results_of(installation, taken)
        admin = AIOKafkaAdminClient(bootstrap_servers=installation.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([installation.topic("cel")])
        await until_logged(installation, worker, "no partition", seconds=30)
        await apply_topics(installation.settings)
        await admin.close()
        later = ended_call(1)
        await installation.produce(later)
        await results_of(installation, taken + later, seconds=60)
        assert worker.poll() is None
        assert "gives this worker partitions of" in installation.log_of(worker)


async def test_rows_of_one_transaction_in_reverse_give_one_result_of_all_of_them(install: NewInstallation) -> None:
    async with install() as installation:
        installation.start_worker()
        calls = [ended_call(number)[::-1] for number in range(20)]
        await installation.produce([row for call in calls for row in call])
        rows = [row for call in calls for row in call]
        await results_of(installation, rows)
        serializer = await installation.serializer()
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            versions = [serializer.decode(record.value)["version_rows"] for record in await results.everything()]
        assert versions == [2] * 20, "some call was judged before all of its rows had come"


async def test_a_backfilled_call_says_so(install: NewInstallation) -> None:
    async with install() as installation:
        installation.start_worker()
        rows = [{**row, "__op": "r"} for row in recorded_rows()[:60]]
        await installation.produce(rows)
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            await results.until(bool)
            assert {dict(record.headers)["origin"] for record in results.records} == {b"backfill"}


async def test_partitions_move_between_two_workers(install: NewInstallation) -> None:
    rows = [row for pbx in ("north", "south") for row in recorded_rows(pbx)]
    async with install() as installation:
        first = installation.start_worker()
        producing = asyncio.create_task(installation.produce(rows, per_second=400))
        async with Tail(installation.bootstrap_servers, installation.topic("call-results")) as results:
            await results.until_more(50)
            second = installation.start_worker()
            await until_logged(installation, second, "partition taken over")
            await results.until_more(50)
            first.terminate()
            assert await asyncio.to_thread(first.wait, 30) == 0
        await producing
        await results_of(installation, rows)
        assert second.poll() is None


async def until_logged(
    installation: Installation, worker: subprocess.Popen[bytes], words: str, seconds: float = 60
) -> None:
    async with asyncio.timeout(seconds):
        while words not in installation.log_of(worker):  # noqa: ASYNC110  # another process's file
            await asyncio.sleep(0.1)
