"""The logs of servers that failed."""

import shutil
from pathlib import Path

from deploy.local.errors import PartFailed

BUILD = Path(__file__).parents[2] / ".build" / "stack"  # git-ignored; each checkout has its own
TAIL_LINES = 12


def failure(part: str, reason: str, log: Path) -> PartFailed:
    """The error to raise for a part, with its log's last lines; the log is kept, for its directory is about to go."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    kept = BUILD / "failed" / log.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        shutil.copyfile(log, kept)
    return PartFailed(part, reason, "\n".join(text.splitlines()[-TAIL_LINES:]), kept)
