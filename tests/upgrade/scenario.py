"""What happens before the installation is stopped, so that every situation is there that an upgrade can meet."""

import asyncio
from collections import Counter
from typing import Any

from tests.upgrade.calls import PlannedCall, planned_call, talking_on
from tests.upgrade.installation import ENTRY_REQUESTS, until
from tests.upgrade.recording import CRM_OF, Recording

_HELD_BACK = 8
"""A row of an answered call that comes late: its first BRIDGE_EXIT but one."""
_ATTEMPTS = 8


async def calls_that_are_over(recording: Recording) -> None:
    """Delivered, skipped, refused; rows that cannot be read, one of them dropped by an operator."""
    plan, insert = recording.plan, recording.insert
    history = plan(planned_call("history", "answered", 0, ended_ago=600), office=None, sales=None)
    await insert(history, _without_late_row(history))  # these two ended before bitrix24 and kommo were served
    ordered = plan(planned_call("history_ordered", "missed", 1, ended_ago=600), office=None, sales=None)
    await insert(ordered)
    await recording.until_in_portals(history, ordered)

    recording.portals.by_name["office"].faults.order({"mode": "400", "times": 1, "methods": ["register"]})
    await insert(plan(planned_call("refused", "missed", 2)))
    await recording.until_letters(1)
    late = plan(planned_call("delivered_late", "answered", 3))
    await insert(late, _without_late_row(late))
    delivered = [
        plan(planned_call("delivered_answered", "answered", 4)),
        plan(planned_call("delivered_missed", "missed", 5)),
        plan(planned_call("internal", "internal", 6), office=None, sales=None),
    ]
    for call in delivered:
        await insert(call)
    await recording.until_in_portals(late, *delivered)

    await recording.insert_unreadable(b"unreadable")
    await recording.insert_unreadable(b"unreadable and dropped")
    await recording.until_letters(3)
    dropped = next(each for each in recording.seen["dead-letters"] if each.key == b"unreadable and dropped")
    place = f"{dropped.partition}/{dropped.offset}"
    await recording.installation.run("dead-letters", "drop", place, "--by", "operator", "--note", "a test of the PBX")


async def portal_that_wants_no_more(recording: Recording) -> None:
    """The receiver `closed` answers 410: its calls are kept, and it is not asked again."""
    recording.portals.by_name["closed"].faults.order({"mode": "portal_deleted"})
    await recording.insert(recording.plan(planned_call("closed_first", "answered", 7, pbx="pbx2")))
    await recording.until_known("deliveries-webhook", b"disabled:closed")
    second = recording.plan(planned_call("closed_second", "missed", 8, pbx="pbx2"))
    await recording.insert(second)
    await recording.until_logged(second)


async def killed_in_mid_request(recording: Recording) -> None:
    """At each portal: a request that was taken and one that was not, both unanswered; a call whose portal is down, and
    one that nobody tried yet. Then the delivery workers are killed, within the requests' 6 seconds."""
    portals = {name: recording.portals.by_name[name] for name in CRM_OF}
    arrived: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for name, portal in portals.items():

        def told(when: str, inbound: Any, name: str = name) -> None:
            if when == "answered":
                answered[name] += 1
            elif inbound.operation.endswith(ENTRY_REQUESTS[name]):
                arrived[name] += 1

        portal.on_request = told
        for mode in ("slow", "hang"):  # taken at once; not taken at all
            portal.faults.order({"mode": mode, "times": 1, "methods": [ENTRY_REQUESTS[name]], "seconds": 3600})
    await recording.insert(recording.plan(planned_call("attempt_1", "answered", 11)))
    await until(lambda: all(arrived[name] >= 1 for name in portals), "a request at every portal", 3)
    await recording.insert(recording.plan(planned_call("attempt_2", "answered", 12)))
    await until(lambda: all(arrived[name] >= 2 for name in portals), "two requests at every portal", 2)

    portals["office"].faults.order({"mode": "503"})
    portals["sales"].faults.order({"mode": "payment_required"})
    portals["receiver"].faults.order({"mode": "429", "retry_after": 60})
    before = answered.copy()
    stopped = recording.plan(planned_call("stopped_portal", "missed", 13))
    await recording.insert(stopped)
    await until(lambda: all(answered[name] > before[name] for name in portals), "the portals' refusals", 2)
    untried = recording.plan(planned_call("nobody_tried", "missed", 14))
    await recording.insert(untried)
    await recording.until_logged(untried, 2)
    await recording.kill(*CRM_OF.values())


async def killed_while_rows_come(recording: Recording) -> None:
    """Open calls that live in the checkpoints only; rows after the committed offset whose results are out; rows that
    nobody has read. No delivery worker runs any more, so those results are unread."""
    plan, insert = recording.plan, recording.insert
    talking = plan(planned_call("open_talking", "answered", 20))
    ringing = plan(planned_call("open_ringing", "missed", 21))
    for call, rows in ((talking, 8), (ringing, 4)):
        partition, offset = await insert(call, call.rows[:rows])
        async with asyncio.timeout(30):
            while min(await recording.committed(partition)) <= offset:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    for attempt in range(_ATTEMPTS):
        if await _killed_after_a_result(recording, attempt):
            break
        await recording.start("aggregate")
    else:
        raise AssertionError(f"none of {_ATTEMPTS} kills came between a result and its commit")
    await insert(ringing, ringing.rows[4:6])
    recording.insert_later(talking, talking.rows[8:])
    recording.insert_later(ringing, ringing.rows[6:])
    for name in ("history", "delivered_late"):
        call = recording.calls[name]
        recording.insert_later(call, call.rows[_HELD_BACK : _HELD_BACK + 1])
    recording.insert_later(plan(planned_call("after", "answered", 30)))


async def _killed_after_a_result(recording: Recording, attempt: int) -> bool:
    """Kill the aggregate worker when a call's result is out. Whether its rows are not committed, and the marker is
    behind the committed offset, so that both kinds of rows are to be read again."""
    number = 100 + 20 * attempt
    busy = recording.plan(talking_on(planned_call(f"open_busy_{attempt}", "answered", number), 12))
    quiet = planned_call(f"quiet_{attempt}", "answered", number + 1)
    quiet = recording.plan(PlannedCall(quiet.name, quiet.template, quiet.pbx, quiet.rows[:-1]))  # no LINKEDID_END
    others = (planned_call(f"ended_{attempt}", "missed", number + each) for each in range(2, 20))
    ended = next(call for call in others if recording.partition_of(call) == recording.partition_of(busy))
    recording.plan(ended)
    await recording.insert(quiet)
    for row in busy.rows[:30]:
        await recording.insert(busy, [row])
        await asyncio.sleep(0.005)
    partition, last = await recording.insert(ended)
    await recording.until_known("call-results", ended.call_id.encode(), 5)
    await recording.kill("aggregate")
    recording.insert_later(busy, busy.rows[30:])
    marker, committed = await recording.committed(partition)
    return marker < committed <= last


def _without_late_row(call: PlannedCall) -> list[dict[str, str]]:
    return [row for number, row in enumerate(call.rows) if number != _HELD_BACK]
