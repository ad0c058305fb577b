"""Results that a test changed, with the `outcome_hash` that their fields have."""

from msgspec.structs import replace

from streams.calls.result import CallResult


def hashed(result: CallResult) -> CallResult:
    """The same result with its `outcome_hash`."""
    bare = replace(result, version=0, version_row_id=0, version_rows=0, outcome_hash="")
    return bare.stamped(result.version, result.version_row_id, result.version_rows)
