"""Commands that the operator was named, followed as an operator follows them."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.installation import Installation, Said

_NAMED = re.compile(r"cel2crm +(?=([^`\n]+))")
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|\S+")
_GROUPS = {
    "connectors",
    "dead-letters",
    "portal",
    "topics",
    "rules",
    "capture",
    "registry",
    "offsets",
    "records",
}
_VALUED = {"--component", "--reason", "--crm", "--pbx", "--portal", "--topic"}
"""Options whose value may be any word; that of another option has a digit in it, or is quoted."""
_WORD = re.compile(r"[a-z][a-z-]*")
_VALUE = re.compile(r"[a-z][a-z0-9_.-]*")
_OPTION = re.compile(r"--[a-z][a-z-]*")
_READ_ONLY = re.compile(
    r"connectors (?:status|watch)|dead-letters (?:list|show)|deliveries|portal (?:status|unmatched)"
    r"|explain|status|gaps|worker"
)
_SINCE_A_TIME = re.compile(r"backfill --since '?\d{4}-")
_TO_MINUTE = len("backfill --since 2026-11-27T19:55")
_CONFIRMED = {("connectors", "start-afresh"), ("dead-letters", "retry")}
"""Commands that ask before they act."""
_FEW = 3
"""Backfills of single calls: more of them, and the operator lets the dead letters name them."""
_MANY = 200
"""Commands: more than that would take hours."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A remedy that was followed."""

    command: str
    status: int
    seconds: float


def named_commands(words: str) -> list[str]:
    """The commands that a text names with everything they need, in their order, each once; without `cel2crm`.

    Not those that only show something, nor those with a placeholder such as `CALL` or `..`.
    """
    found: dict[str, None] = {}
    for match in _NAMED.finditer(words):
        command = _command(match[1])
        if command is not None and not _READ_ONLY.match(command):
            found[command] = None
    return list(found)


def _command(text: str) -> str | None:
    """The command at the beginning of a text, up to where prose goes on; None: it lacks something."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0].rstrip(".,:;)") if match[0] not in {".", ".."} else match[0]
        if not _belongs(tokens, token):
            if tokens and _OPTION.fullmatch(tokens[-1]) and tokens[-1] in _VALUED | {"--since", "--call", "--ids"}:
                return None
            break
        tokens.append(token.strip("'\""))
        if token != match[0]:
            break
    if not tokens or (tokens[0] in _GROUPS and len(tokens) == 1) or tokens in (["deliver"], ["backfill"]):
        return None
    return shlex.join(tokens)


def _belongs(before: list[str], token: str) -> bool:
    if not before or (len(before) == 1 and before[0] in _GROUPS):
        return _WORD.fullmatch(token) is not None
    if _OPTION.fullmatch(token):
        return True
    if before[-1] in _VALUED:
        return _VALUE.fullmatch(token) is not None
    if before[:2] == ["portal", "authorise"] or before[:2] == ["portal", "enable"]:
        return _WORD.fullmatch(token) is not None and len(before) < 6
    return token[:1] in {"'", '"'} or any(character.isdigit() for character in token)


def allowed_commands(words: str, allowed: Sequence[str]) -> list[str]:
    """Of the commands that a text names, those that a fault lets the suite follow."""
    return [command for command in named_commands(words) if any(command.startswith(each) for each in allowed)]


def follow(made: Installation, words: str, allowed: Sequence[str]) -> list[Followed]:
    """Do what the words say, as far as `allowed` has it, and what the commands themselves name then; each once.

    Of several backfills since a time the one since the earliest is done, which holds the others.
    """
    followed: list[Followed] = []
    waiting, known = allowed_commands(words, allowed), set[str]()
    while waiting and len(followed) < _MANY:
        command, *waiting = _without_parts(waiting)
        if _since_a_minute_of(command, known):
            continue
        known.add(command)
        said = _run(made, shlex.split(command))
        followed.append(Followed(said.command, said.status, round(said.seconds, 1)))
        waiting += [each for each in allowed_commands(said.text, allowed) if each not in known and each not in waiting]
    return followed


def _since_a_minute_of(command: str, known: Iterable[str]) -> bool:
    """Whether a backfill since the same minute, or since a time before, was done: its rows came with that one."""
    done = (each for each in known if _SINCE_A_TIME.match(each))
    return _SINCE_A_TIME.match(command) is not None and any(each[:_TO_MINUTE] <= command[:_TO_MINUTE] for each in done)


def _without_parts(commands: Sequence[str]) -> list[str]:
    """The commands without those that do a part of what another one does."""
    since = sorted(each for each in commands if _SINCE_A_TIME.match(each))
    calls = [each for each in commands if each.startswith("backfill --call")]
    left_out = {*since[1:], *(calls if since or len(calls) > _FEW else ())}
    instead = ["backfill --dead-letters"] if len(calls) > _FEW and not since else []
    return list(dict.fromkeys([*(each for each in commands if each not in left_out), *instead]))


def _run(made: Installation, words: Sequence[str]) -> Said:
    if tuple(words[:2]) == ("portal", "authorise"):
        return made.authorise(words[2])
    added: tuple[str, ...] = ()
    if words[0] == "backfill" and "--dry-run" not in words:
        added = ("--deliver", "--yes")
    elif words[0] == "deliver" or tuple(words[:2]) in _CONFIRMED:
        added = ("--yes",)
    return made.cel2crm(*words, *(each for each in added if each not in words))
