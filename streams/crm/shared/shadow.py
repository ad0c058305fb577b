"""The requests that a shadow portal would get, were it not a shadow."""

from typing import Any

import orjson
from msgspec.structs import replace

from streams.calls.result import CallResult
from streams.crm.shared.client import CrmClient
from streams.crm.shared.tasks import MISSED
from streams.delivery.events import Shadowed
from streams.delivery.follow_ups import follow_up_of, follow_up_view
from streams.delivery.record import Delivery


def shadowed(client: CrmClient, delivery: Delivery, result: CallResult, now: int) -> Shadowed:
    """The event: the requests of all steps, by step where there are several. Pure: what the portal would be asked
    before (who is responsible) is not asked."""
    told = replace(delivery, steps_done=("client",))
    requests = {step: client.request(replace(told, step=step), result) for step in client.plan.path}
    last = requests[client.plan.path[-1]]
    task = _task(client, delivery, result)
    if len(requests) == 1 and not task:
        return Shadowed(now, last.sent, last.status, last.text)
    sent = {step: orjson.loads(request.sent) for step, request in requests.items()}
    sent = {**(next(iter(sent.values())) if len(sent) == 1 else sent), **task}
    return Shadowed(now, orjson.dumps(sent).decode(), last.status, last.text)


def _task(client: CrmClient, delivery: Delivery, result: CallResult) -> dict[str, Any]:
    """The task that the call would get if none stood; its card would be known by the answer to the call."""
    if follow_up_of(delivery, MISSED) is None:
        return {}
    view = replace(follow_up_view(delivery, MISSED, client.plan), step=MISSED)
    return {MISSED: orjson.loads(client.request(view, result).sent)}
