"""Kommo: the settings that only it knows (portals[].options)."""

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "cel2crm"

LONGEST_SOURCE = 255
"""Characters of a source's name."""


@dataclass(frozen=True, slots=True)
class KommoOptions:
    """portals[].options of a Kommo portal."""

    pipeline_id: int | None = None
    """The pipeline that leads and incoming leads are made in; None: the account's main one."""
    source: str = SOURCE
    """The source that calls and incoming leads name."""

    @classmethod
    def of(cls, options: Mapping[str, object]) -> "KommoOptions":
        """The options of a portal. Raises ValueError that names the option, never its value."""
        if unknown := sorted(set(options) - {"pipeline_id", "source"}):
            raise ValueError(f"unknown: {', '.join(unknown)}; known: pipeline_id, source")
        pipeline, source = options.get("pipeline_id"), options.get("source", SOURCE)
        if pipeline is not None and (isinstance(pipeline, bool) or not isinstance(pipeline, int) or pipeline < 1):
            raise ValueError("pipeline_id is not a pipeline's number: it stands in the pipeline's address in Kommo")
        if (
            not isinstance(source, str)
            or not source.strip()
            or len(source) > LONGEST_SOURCE
            or not source.isprintable()
        ):
            raise ValueError(f"source is not a name of 1 to {LONGEST_SOURCE} characters")
        return cls(pipeline, source)


def check_options(options: Mapping[str, object]) -> None:
    """Raise ValueError for options that are not Kommo's (CrmKind.check_options)."""
    KommoOptions.of(options)
