"""Rows that come in unusual ways: reversed, in one long transaction, twice, by the ten thousand."""

import time
from collections.abc import Sequence

from deploy.demo.recordings import Case
from tests.chaos.call_flow import MARK, Row, connect, insert_of
from tests.chaos.fault import Fault

_CHANNELS = 2000
_BRIDGE = '{"bridge_id":"conf1","bridge_technology":"softmix"}'
_PER_CHANNEL = (
    ("CHAN_START", ""),
    ("ANSWER", ""),
    *((("BRIDGE_ENTER", _BRIDGE), ("BRIDGE_EXIT", _BRIDGE)) * 3),
    ("HANGUP", '{"hangupcause":16,"hangupsource":"","dialstatus":""}'),
    ("CHAN_END", ""),
)


class ReversedRows(Fault):
    name = "rows-reversed"
    does = "ten calls are inserted last row first, each in one transaction, with the ids of their order"

    def strike(self) -> None:
        flow = self.made.flow
        for _ in range(10):
            case = flow.next_case()
            rows = flow.marked(case.rows)
            with connect(self.made.endpoints, autocommit=False) as connection, connection.cursor() as cursor:
                cursor.execute("select coalesce(max(id), 0) from cel for update")
                # A stretch of ids of its own, so that no row of the flow takes one of them.
                ((highest,),) = cursor.fetchall()
                for number in reversed(range(len(rows))):
                    cursor.execute(*insert_of(rows[number], int(highest) + 1000 + number))
                connection.commit()
            flow.record(case, rows)
            self.hold(0.3)


class BigTransaction(Fault):
    name = "big-transaction"
    does = "twenty calls in one transaction that stays open for 10 s"

    def strike(self) -> None:
        flow = self.made.flow
        cases = [flow.next_case() for _ in range(20)]
        written: list[tuple[Case, list[Row]]] = [(case, flow.marked(case.rows)) for case in cases]
        with connect(self.made.endpoints, autocommit=False) as connection, connection.cursor() as cursor:
            for _, rows in written:
                for row in rows:
                    cursor.execute(*insert_of(row))
            self.hold(10)
            connection.commit()
        for case, rows in written:
            flow.record(case, rows)


class RowsTwice(Fault):
    name = "rows-twice"
    does = "ten calls with every row inserted twice"

    def strike(self) -> None:
        flow = self.made.flow
        for _ in range(10):
            case = flow.next_case()
            rows = [again for row in flow.marked(case.rows) for again in (row, {**row, MARK: f"{row[MARK]}-again"})]
            with connect(self.made.endpoints) as connection, connection.cursor() as cursor:
                for row in rows:
                    cursor.execute(*insert_of(row))
            flow.record(case, rows)


class LongCall(Fault):
    name = "call-of-20000-rows"
    does = "a conference of 20,000 rows in one transaction"

    def strike(self) -> None:
        flow = self.made.flow
        case = flow.next_case()
        while len(case.linkedids) != 1 or not case.truth.get("human_answered") or case.direction != "inbound":
            case = flow.next_case()
        rows = flow.marked([case.rows[0], *_conference(case), *case.rows[1:]])
        with connect(self.made.endpoints, autocommit=False) as connection, connection.cursor() as cursor:
            statement, _ = insert_of(rows[0])
            for start in range(0, len(rows), 500):
                cursor.executemany(statement, [insert_of(row)[1] for row in rows[start : start + 500]])
            connection.commit()
        flow.record(case, rows)
        self.until_calls(3)


def _conference(case: Case) -> Sequence[Row]:
    """Two thousand channels that came and went between the call's own first two rows."""
    first = case.rows[0]
    second = int(time.time())
    return [
        {
            **first,
            "eventtype": event,
            "extra": extra,
            "uniqueid": f"{second}.{500_000 + number}",
            "channame": f"PJSIP/trunk1-{number + 0x10000:08x}",
            "appname": "ConfBridge",
            "appdata": "1",
        }
        for number in range(_CHANNELS)
        for event, extra in _PER_CHANNEL
    ]
