"""Records that should not be there: poison, and a good result in the wrong partition."""

import json
import time

from tests.chaos.brokers import Brokers
from tests.chaos.fault import Fault
from tests.chaos.installation import PARTITIONS
from tests.chaos.services import wait_until

_KEY = b"poison"


def poison_rows() -> list[bytes | None]:
    """Values that are not rows, and rows with values that no PBX writes."""
    now = int(time.time())
    row = {"eventtype": "CHAN_START", "eventtime": "2026-11-28 05:00:00", "__op": "c", "__source_name": "pbx1"}
    return [
        None, b"", b"\xff\x00", b"[]", b"{}", b'{"id":1}', b"9" * 100_000, b"[" * 200_000,
        b'{"id":1e99,"eventtype":"x","eventtime":"y","linkedid":"z"}',
        json.dumps({**row, "id": 5, "eventtime": "not a time", "linkedid": "z.z", "uniqueid": "z.z"}).encode(),
        json.dumps({**row, "id": 6, "linkedid": f"{now}.77777", "uniqueid": f"{now}.77777", "extra": "x" * 900_000,
                    "__source_name": "other", "__source_ts_ms": now * 1000}).encode(),
        json.dumps({**row, "id": -6, "linkedid": "a\x00\n/../..", "uniqueid": "b"}).encode(),
    ]  # fmt: skip


def poison_results() -> list[bytes | None]:
    """Values that are not results: no Avro, other ids, cut short, too long."""
    ids = [b"\0" + number.to_bytes(4, "big") for number in (1, 2, 3, 999)]
    return [
        None,
        b"",
        b"\xff\x00garbage",
        b"\x01\0\0\0\1abc",
        *(each + b"\x02" for each in ids),
        ids[0] + b"\xff" * 2_000_000,
    ]


class PoisonRecords(Fault):
    name = "poison-records"
    does = "garbage of many kinds in every partition of cel, call-results and delivery-commands"
    told = r"dead letter|could not|unreadable"

    def strike(self) -> None:
        brokers = Brokers(self.made)
        before = brokers.total("dead-letters")
        for topic, values in (
            ("cel", poison_rows()),
            ("call-results", poison_results()),
            ("delivery-commands", poison_results()),
        ):
            brokers.produce(topic, [(_KEY, value, number) for value in values for number in range(PARTITIONS)])
        wait_until(lambda: brokers.total("dead-letters") > before, 60, "dead letters come")
        self.until_calls(3)


class ResultInWrongPartition(Fault):
    name = "result-in-wrong-partition"
    does = "a good result of a delivered call is copied under its key into another partition"
    told = r"partition|dead letter"

    def strike(self) -> None:
        brokers = Brokers(self.made)
        shown = {str(entry["external_id"]) for entry in self.made.entries()["kommo"]}
        results = [each for each in brokers.read("call-results") if (each[1] or b"").decode() in shown]
        copies = [
            (key, value, (partition + 1) % PARTITIONS)
            for partition, key, value in self.random.sample(results, min(3, len(results)))
        ]
        brokers.produce("call-results", copies)
        self.until_calls(3)
