"""The metadata of a delivery worker's commits: that they are its own, and since when its log tells of every call."""

from streams.clock import UtcMicros

_OURS = "cel2crm"
_LOG_SINCE = " log-since="


def commit_mark(log_since: UtcMicros) -> str:
    """The metadata of a commit. `log_since`: the log was lost then, and has been kept since; 0: it never was."""
    return f"{_OURS}{_LOG_SINCE}{log_since}" if log_since else _OURS


def is_ours(metadata: str) -> bool:
    """Whether a delivery worker committed this; else the offset was set by hand, or committed by release 0.1.0."""
    return metadata == _OURS or metadata.startswith(_OURS + _LOG_SINCE)


def log_since_of(metadata: str) -> UtcMicros:
    """See `commit_mark`; 0 also where the metadata does not tell."""
    since = metadata.partition(_LOG_SINCE)[2]
    return int(since) if since.isascii() and since.isdigit() else 0
