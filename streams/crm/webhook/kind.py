"""Webhooks for the registry."""

from streams.crm.kind import CrmKind, Rate

KIND = CrmKind(
    contract=1,
    name="webhook",
    title="Webhook",
    summary="Send call results to a receiver of your own, signed as Standard Webhooks has it.",
    adapter="streams.crm.webhook.adapter:ADAPTER",
    check="streams.crm.webhook.check:check",
    rate=Rate(burst=50, per_second=50.0),
    # A webhook is for machines: they want every call, and an answer within the time that the standard asks for.
    defaults={"deliver_internal": True, "deliver_unknown": True, "request_timeout_seconds": 15.0},
    revisions=("keep", "update"),
    has_users=False,
    number_needed=False,
)
