"""Bitrix24 for the registry."""

from streams.crm.bitrix24.options import check_options
from streams.crm.kind import CrmKind, Rate, StatusCodes

STATUSES: dict[str | int, str] = {
    "200": "successful call",
    "304": "missed call",
    "402": "insufficient funds",
    "403": "forbidden",
    "404": "wrong number",
    "405": "method not supported",
    "423": "blocked",
    "480": "temporarily unavailable",
    "484": "destination not available",
    "486": "busy",
    "500": "internal server error",
    "503": "destination not available",
    "603": "canceled",
    "603-S": "call canceled",
    "OTHER": "other",
}
"""Every STATUS_CODE that Bitrix24 knows, and 405 and OTHER, which it accepts."""

KIND = CrmKind(
    contract=1,
    name="bitrix24",
    title="Bitrix24",
    summary="Deliver call results to Bitrix24.",
    adapter="streams.crm.bitrix24.adapter:ADAPTER",
    check="streams.crm.bitrix24.check:check",
    probe="streams.crm.bitrix24.probe:PROBE",
    # The vendor's limit, per portal and address (docs/crms.md).
    rate=Rate(burst=50, per_second=2.0),
    statuses=StatusCodes(
        meanings=STATUSES,
        package="streams.crm.bitrix24",
        file="bitrix24.yaml",
        presets={"missed_is_304": "missed_is_304.yaml"},
    ),
    required={
        "default_user": "Bitrix24 takes no call without a person: "
        "set the id of the one who gets calls of unknown extensions."
    },
    unknown_number=("nothing", "create_lead", "skip"),
    users_by=("id", "inner_phone"),
    revisions=("keep", "note"),
    check_options=check_options,
    tasks=True,
    route_options=("crm_source",),
    longest_external_id=64,  # what it keeps of EXTERNAL_CALL_ID (seen in its source)
    cloud=r"bitrix24(?:\.com)?\.[a-z]{2,3}",
    batch_setting="bitrix24_batch",
)
