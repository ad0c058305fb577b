"""Kommo for the registry."""

from streams.crm.kind import CrmKind, Rate, StatusCodes
from streams.crm.kommo.options import check_options

STATUSES: dict[str | int, str] = {
    1: "left a voice message",
    2: "call back later",
    3: "out of the office",
    4: "conversation took place",
    5: "wrong number",
    6: "did not get through",
    7: "number busy",
}

KIND = CrmKind(
    contract=1,
    name="kommo",
    title="Kommo",
    summary="Deliver call results to Kommo (amoCRM).",
    adapter="streams.crm.kommo.adapter:ADAPTER",
    check="streams.crm.kommo.check:check",
    probe="streams.crm.kommo.probe:PROBE",
    # 7 in any second, per integration, as they arrive there: evenly, and a little below, since the network bunches
    # them up (docs/crms.md).
    rate=Rate(burst=1, per_second=6.5),
    statuses=StatusCodes(
        meanings=STATUSES,
        package="streams.crm.kommo",
        file="kommo.yaml",
        with_text=True,
    ),
    unknown_number=("create_contact", "create_lead", "unsorted", "retry", "skip"),
    revisions=("keep", "note", "update"),
    check_options=check_options,
    tasks=True,
    route_options=("pipeline_id", "source"),
    longest_external_id=64,  # it keeps more; calls that were sent before have been told by this
    cloud=r"kommo\.com|amocrm\.(?:ru|com)",
)
