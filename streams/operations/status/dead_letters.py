"""Unresolved dead letters in numbers, each group with the one command for all of it."""

from streams.dead_letter_reasons import DeadLetterReason, Recovery
from streams.operations.connection import Connection
from streams.operations.dead_letter_topic import letters_of
from streams.operations.dead_letters import Filter, Group
from streams.operations.status.facts import DeadLetterFacts

_GONE = frozenset((DeadLetterReason.EXPIRED_ROWS.code, DeadLetterReason.EXPIRED_RESULTS.code))


async def unresolved(connection: Connection) -> tuple[DeadLetterFacts, ...]:
    """By component, reason and portal, the largest first. Raises UserError: no broker, no topic."""
    groups: dict[tuple[str, str, str | None], Group] = {}
    widest: dict[tuple[str, str, str | None], str] = {}
    async for letter, _ in letters_of(connection, Filter()):
        key = letter.component, letter.reason, letter.portal
        group = groups.setdefault(key, Group(*key, letter.recovery))
        group.take(letter)
        if letter.remedy:
            # `backfill --since TIME`: the earliest brings what the later ones name.
            widest[key] = min(letter.remedy, widest.get(key, letter.remedy))
    found = [DeadLetterFacts(group, widest.get(key) or command_for(group)) for key, group in groups.items()]
    return tuple(sorted(found, key=lambda each: -each.group.count))


def command_for(group: Group) -> str:
    """The command that recovers all letters of a group, or puts them aside."""
    if group.count == 1:
        return group.command
    where = f" --portal {group.portal}" if group.portal else ""
    match group.recovery:
        case Recovery.BACKFILL:
            return "cel2crm backfill --dead-letters"
        case Recovery.NOTHING:
            return f"cel2crm dead-letters drop --component {group.component} --reason {group.reason}{where}"
        case Recovery.RETRY | Recovery.RETURN:
            return f"cel2crm dead-letters retry --component {group.component} --reason {group.reason}{where}"


def are_gone(letters: DeadLetterFacts) -> bool:
    """Whether they are about records that expired before a worker took them."""
    return letters.group.reason in _GONE
