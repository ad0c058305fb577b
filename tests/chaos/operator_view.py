"""What an operator is told: log lines of warning and above, and what the commands say, each with its time."""

import json
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.installation import Installation, Said

_POLL_SECONDS = 0.3
_LOUD = {"warning", "error", "critical"}
_PLAIN = re.compile(r"\[\s*(warning|error|critical)\s*\]|^cel2crm: |Traceback", re.IGNORECASE)
_LIBRARIES = re.compile(r"(?:aiokafka|faust|mode)(?:\.|$)")
"""Loggers whose lines are chatter, which tells an operator nothing: never what counts as told."""
_NOISE = re.compile(r"\b(?:aiokafka|faust|mode)\.\w|Heartbeat failed|Unable to (?:connect|request)|OffsetCommit failed")
"""The same, in lines that do not name their logger."""
_TIME = re.compile(r"^\d{4}-\d\d-\d\d[T ][\d:.]+Z? *")
_WORD = re.compile(r"[A-Za-z]{3}")  # not a table's border
_LONGEST = 400

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("gaps",),
    ("dead-letters", "list"),
    ("dead-letters", "list", "--calls"),
)
"""What an operator runs to see whether all is well: `status` tells of capture, portals and deliveries too."""
_VERDICT = re.compile(r"^cel2crm: not all is well: ", re.MULTILINE)
"""The line of `cel2crm status` that other commands say."""
_ALL_WELL = re.compile(r"no (?:unresolved )?dead letters", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that was said. `after`: seconds from the blow on; `source`: a service or a command."""

    after: float
    source: str
    words: str


@dataclass
class OperatorView:
    """Follows the services' logs from `begin` on. Use in `with`; a thread stamps each line when it comes."""

    installation: Installation
    told: list[Told] = field(default_factory=list)
    _since: float = 0.0
    _places: dict[str, int] = field(default_factory=dict)
    _rests: dict[str, str] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "OperatorView":
        self._thread = threading.Thread(target=self._follow, name="operator's view", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(5)

    def begin(self) -> None:
        """Count from now on, and forget what was said before."""
        with self._lock:
            self._read()
            self.told = []
            self._since = time.time()

    def ask(self, commands: Iterable[Sequence[str]] = COMMANDS) -> None:
        """Run the commands, and keep what they say when not all is well."""
        for words in commands:
            said = self.installation.cel2crm(*words)
            if bad(said):
                self._keep(said.command, [line for line in said.text.splitlines() if _WORD.search(line)])

    def all_words(self) -> str:
        """Everything that was said."""
        self._read()
        return "\n".join(each.words for each in self.told)

    def first(self, pattern: str) -> Told | None:
        """The first thing said that a pattern finds."""
        self._read()
        return next((each for each in self.told if re.search(pattern, each.words, re.IGNORECASE)), None)

    def _follow(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self._read()

    def _read(self) -> None:
        with self._lock:
            for name in self.installation.services.names():
                log = self.installation.services.log(name)
                if log.exists():
                    self._read_log(name, log)

    def _read_log(self, name: str, log: Path) -> None:
        with log.open("rb") as file:
            file.seek(self._places.get(name, 0))
            text = self._rests.pop(name, "") + file.read().decode("utf-8", "replace")
            self._places[name] = file.tell()
        *lines, self._rests[name] = text.split("\n")
        if loud := [words for line in lines if (words := loud_words(line)) is not None]:
            self._keep(name, loud)

    def _keep(self, source: str, lines: Iterable[str]) -> None:
        with self._lock:
            after = time.time() - self._since
            known = {(each.source, each.words) for each in self.told}
            for line in lines:
                words = line.strip()
                if (source, words) not in known and len(self.told) < 5000:
                    known.add((source, words))
                    self.told.append(Told(round(after, 1), source, words))


def bad(said: Said) -> bool:
    """Whether a command says that something is wrong."""
    if said.status or _VERDICT.search(said.text):
        return True
    if said.command.startswith("cel2crm dead-letters"):
        return _ALL_WELL.search(said.text) is None
    # Gaps are told by the exit status, of `gaps` and of `connectors status`; without any, both say so.
    return bool(re.search(r"paused|cannot be read|FAILED|STOPPED|PAUSED", said.text))


def loud_words(line: str) -> str | None:
    """The words of a log line of warning or above; None: any other line, and libraries' chatter."""
    if line.startswith("{"):
        try:
            fields: dict[str, Any] = json.loads(line)
        except ValueError:
            return None
        if fields.get("level") not in _LOUD or _LIBRARIES.match(str(fields.get("logger", ""))):
            return None
        if (fields.get("event"), fields.get("about")) == ("portal checked", "limits"):
            return None  # the suite's own settings let portals take more than the vendors'
        facts = ", ".join(
            f"{name}={value}"
            for name, value in fields.items()
            if name not in {"event", "level", "logger", "timestamp", "exception"}
        )
        return f"{fields.get('event')}{f' ({facts})' if facts else ''}"
    if _PLAIN.search(line) and not _NOISE.search(line):
        return _TIME.sub("", line)
    return line.strip() if line.startswith("  ") and "cel2crm" in line and '"' not in line else None


def shortened(words: str, length: int = _LONGEST) -> str:
    """The first words, on one line."""
    words = " ".join(words.split())
    return words if len(words) <= length else words[: length - 1] + "…"
