"""What a portal would get, were it no shadow."""

import orjson
from msgspec.structs import replace

from streams.calls.result import CallResult
from streams.crm.client import CrmClient, Request
from streams.crm.events import Shadowed
from streams.crm.record import Delivery


def shadowed(client: CrmClient, delivery: Delivery, result: CallResult, now: int) -> Shadowed:
    """The event: the requests of all steps, by step where there are several. Pure."""
    step: str | None = client.plan.first
    requests: dict[str, Request] = {}
    while step is not None:
        requests[step] = client.request(replace(delivery, step=step), result)
        step = client.plan.steps[step].then
    last = list(requests.values())[-1]
    if len(requests) == 1:
        return Shadowed(now, last.sent, last.status, last.text)
    sent = {step: orjson.loads(request.sent) for step, request in requests.items()}
    return Shadowed(now, orjson.dumps(sent).decode(), last.status, last.text)
