"""Callbook for the registry."""

from collections.abc import Mapping

from streams.crm.kind import CrmKind, Rate, StatusCodes


def check_options(options: Mapping[str, object]) -> None:
    """Exactly one option: board, the list that the calls go to."""
    if set(options) != {"board"}:
        raise ValueError("must be: {board: NAME}")
    if not isinstance(options["board"], str) or not options["board"]:
        raise ValueError("board is not a name")


KIND = CrmKind(
    contract=1,
    name="callbook",
    title="Callbook",
    summary="Deliver call results to Callbook.",
    adapter="cel2crm_callbook.adapter:ADAPTER",
    check="cel2crm_callbook.check:check",
    rate=Rate(burst=10, per_second=10),
    statuses=StatusCodes(
        meanings={
            "talked": "people talked",
            "missed": "nobody answered",
            "busy": "line busy",
            "failed": "no connection",
        },
        package="cel2crm_callbook",
        file="callbook.yaml",
    ),
    check_options=check_options,
)
