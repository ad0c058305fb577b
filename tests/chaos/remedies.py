"""Commands that the operator was named, followed as an operator follows them."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.installation import CONNECTOR, Installation, Said
from tests.chaos.services import wait_until

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
_FORGET = re.compile(r"PUT /connectors/\S+/stop, then DELETE /connectors/\S+/offsets")
_MANY = 200
"""Commands that name a call each: more than that would take hours, and the group's command is followed instead."""


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
    if not tokens or (tokens[0] in _GROUPS and len(tokens) == 1) or tokens == ["deliver"]:
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
    return token[0] in "'\"" or any(character.isdigit() for character in token)


def allowed_commands(words: str, allowed: Sequence[str]) -> list[str]:
    """Of the commands that a text names, those that a fault lets the suite follow."""
    return [command for command in named_commands(words) if any(command.startswith(each) for each in allowed)]


def follow(made: Installation, words: str, allowed: Sequence[str], first_id: int) -> list[Followed]:
    """Do what the words say, as far as `allowed` has it: `forget offsets` is the way out of a lost place in the binlog.

    `first_id`: the id of the first row that may be missing, for a backfill that is named without its bounds.
    """
    followed: list[Followed] = []
    if "forget offsets" in allowed and _FORGET.search(words):
        followed += _forget_offsets(made)
        followed.append(_run(made, ["backfill", "--since", str(first_id)]))
    commands = allowed_commands(words, allowed)
    if "backfill" in allowed and not any(each.startswith("backfill --since") for each in commands):
        calls = [each for each in commands if each.startswith("backfill --call")]
        if len(calls) > 3:  # the same, said for each call
            commands = [each for each in commands if each not in calls] + ["backfill --dead-letters"]
    for command in commands[:_MANY]:
        followed.append(_run(made, shlex.split(command)))
    return followed


def _run(made: Installation, words: Iterable[str]) -> Followed:
    words = list(words)
    given = None
    if words[0] == "backfill" and "--dry-run" not in words:
        words += [each for each in ("--deliver", "--yes") if each not in words]
    elif words[:2] == ["dead-letters", "retry"] or words[0] == "deliver":
        words += ["--yes"]
    if words[:2] == ["portal", "authorise"]:
        return _followed(made.authorise(words[2]))
    return _followed(made.cel2crm(*words, given=given))


def _forget_offsets(made: Installation) -> list[Followed]:
    """The documented way: stop the connector, delete its offsets, apply it again."""
    made.connect_rest("PUT", f"/connectors/{CONNECTOR}/stop")

    def stopped() -> bool:
        status = made.connect_rest("GET", f"/connectors/{CONNECTOR}/status")
        return status["connector"]["state"] == "STOPPED" and not status["tasks"]

    wait_until(stopped, 30, "the connector is stopped")
    made.connect_rest("DELETE", f"/connectors/{CONNECTOR}/offsets")
    return [_followed(made.cel2crm("connectors", "apply"))]


def _followed(said: Said) -> Followed:
    return Followed(said.command, said.status, round(said.seconds, 1))
