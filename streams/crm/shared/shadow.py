"""The requests that a shadow portal would get, were it not a shadow."""

import orjson
from msgspec.structs import replace

from streams.calls.result import CallResult
from streams.crm.shared.client import CrmClient
from streams.delivery.events import Shadowed
from streams.delivery.record import Delivery


def shadowed(client: CrmClient, delivery: Delivery, result: CallResult, now: int) -> Shadowed:
    """The event: the requests of all steps, by step where there are several. Pure: what the portal would be asked
    before (who is responsible) is not asked."""
    told = replace(delivery, steps_done=("client",))
    requests = {step: client.request(replace(told, step=step), result) for step in client.plan.path}
    last = requests[client.plan.path[-1]]
    if len(requests) == 1:
        return Shadowed(now, last.sent, last.status, last.text)
    sent = {step: orjson.loads(request.sent) for step, request in requests.items()}
    return Shadowed(now, orjson.dumps(sent).decode(), last.status, last.text)
