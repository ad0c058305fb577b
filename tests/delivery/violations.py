"""The promises that a schedule of the simulation must keep."""

from streams.crm.shared.recording import RECORDING
from streams.crm.shared.tasks import CLOSE, MISSED
from streams.delivery.erasure import is_erased
from streams.delivery.record import IN_CRM, Action, Delivery, State
from tests.delivery.simulated_crms import CHANGED_BY_PERSON, Entry, Kommo, Receiver
from tests.delivery.simulation import LAST_WORD, NEVER, World


def violations(world: World) -> list[str]:
    """The promises that a schedule broke: each call once, one of its versions, nothing lost, a log that says so."""
    erased = {call for call, delivery in world.log.items() if delivery.wish == Action.ERASE}
    wrong = [problem for call in erased for problem in _of_erased(world, call)]
    last_words = {call for at, call, _ in world.commands if at == LAST_WORD}
    dropped = {call for _, call, command in world.commands if command.action is Action.DROP} - last_words
    skipped = {result.call_id for result in world.results if result.history}
    skipped -= {call for at, call, command in world.commands if at == LAST_WORD and command.action is Action.DELIVER}
    for call in {result.call_id for result in world.results} - erased:
        delivery = world.log.get(call)
        entries = [entry for entry in world.crm.entries if entry.call == call]
        newest = max(result.version for result in world.results if result.call_id == call)
        if delivery is None:
            wrong.append(f"{call} lost")
        elif (delivery.state is State.DROPPED and call in dropped) or (
            delivery.state is State.SKIPPED and call in skipped
        ):
            if entries and not (isinstance(world.crm, Receiver) and delivery.doubt):
                wrong.append(f"{call} is {delivery.state} and stands in the CRM")
        elif call in world.crm.refuses:
            if entries or delivery.state is not State.REFUSED or call not in world.dead_letters:
                wrong.append(f"{call} refused: {delivery.state}, {len(entries)} entries, {world.dead_letters}")
        elif isinstance(world.crm, Receiver):
            wrong += _of_receiver(world, delivery, [entry.version for entry in entries])
        elif len(entries) != 1:
            wrong.append(f"{call} stands {len(entries)} times in the CRM, {delivery.state}")
        elif delivery.state not in (State.DELIVERED, State.SUPERSEDED):
            wrong.append(f"{call} ended as {delivery.state}")
        elif problem := _revision_problem(world, delivery, entries[0]):
            wrong.append(f"{call}: {problem}")
        elif delivery.version != newest:
            wrong.append(f"{call}: version {newest} came, {delivery.version} is remembered")
    wrong += [f"{call} was followed up before it was there" for call in world.crm.too_early]
    wrong += [problem for delivery in world.log.values() for problem in _follow_up_problems(world, delivery)]
    wrong += _task_problems(world)
    if isinstance(world.crm, Kommo):
        contacts = [entry.call for entry in world.crm.contacts]
        wrong += [f"{call} has several contacts" for call in set(contacts) if contacts.count(call) > 1]
    return wrong


def _of_erased(world: World, call: str) -> list[str]:
    """What the CRM has of it, it has once; of the call nothing is left."""
    wrong, delivery = [], world.log[call]
    entries = sum(entry.call == call for entry in world.crm.entries)
    if not is_erased(delivery):
        wrong.append(f"{call} was to be erased: {delivery}")
    if delivery.crm != "webhook" and entries > 1:  # a receiver tells repeated ones by their id
        wrong.append(f"{call} was erased and stands {entries} times in the CRM")
    return wrong


def _follow_up_problems(world: World, delivery: Delivery) -> list[str]:
    """Of a call in the CRM: its recording came if there is one, and ended quietly if not; its task is there once."""
    call, wrong = delivery.call_id, []
    if delivery.state not in IN_CRM or delivery.wish == Action.ERASE:
        return []
    if delivery.result is not None:
        wrong.append(f"{call} still holds its result")
    for each in delivery.follow_ups:
        expected = {State.SKIPPED if each.kind == RECORDING and world.recorded_at[call] == NEVER else State.DELIVERED}
        if each.kind == MISSED:
            expected.add(State.SKIPPED)  # a task stood already, or the client was reached
        if each.state not in expected:
            wrong.append(f"{call}: its {each.kind} ended as {each.state}: {each.reason}")
    asked = {kind for result in world.results if result.call_id == call for kind in result.follow_ups}
    if asked != {each.kind for each in delivery.follow_ups}:
        wrong.append(f"{call}: {asked} was to follow, {delivery.follow_ups} did")
    came = RECORDING in asked and world.recorded_at[call] != NEVER
    if (call in world.crm.recordings) != came:
        wrong.append(f"{call}: its recording came {world.crm.recordings.count(call)} times")
    return wrong


def _task_problems(world: World) -> list[str]:
    """The client has one open task if the last call of his in the CRM was missed, and none if he was reached then."""
    if any(delivery.wish == Action.ERASE for delivery in world.log.values()):
        return []  # what was to follow an erased call is given up
    made = [task.text.split("-")[2] for task in world.crm.tasks if not task.by_proxy]
    twice = [f"a call has {made.count(call)} tasks" for call in sorted(set(made)) if made.count(call) > 1]
    there = [call for call, delivery in world.log.items() if delivery.state in IN_CRM]
    asked = {call: {each.kind for each in world.log[call].follow_ups} for call in there}
    missed = max((call for call in there if MISSED in asked[call]), default="")
    reached = max((call for call in there if CLOSE in asked[call]), default="")
    still_open = [task for task in world.crm.tasks if task.is_open]
    expected = 1 if missed > reached else 0
    if len(still_open) == expected:
        return twice
    return [*twice, f"{len(still_open)} tasks are open, {expected} expected: {world.crm.tasks}, {asked}"]


def _of_receiver(world: World, delivery: Delivery, versions: list[int]) -> list[str]:
    """Versions come in their order, each once: one of them, unless later ones are wished or an operator wants it."""
    call = delivery.call_id
    outcomes = {result.version: result.outcome_hash for result in world.results if result.call_id == call}
    actions = {command.action for _, each, command in world.commands if each == call}
    wrong = []
    if delivery.state not in (State.DELIVERED, State.SUPERSEDED):
        wrong.append(f"{call} ended as {delivery.state}")
    last = [delivery.sent_version, delivery.doubt.version if delivery.doubt else None]
    if not versions or versions != sorted(set(versions)) or versions[-1] not in last:
        wrong.append(f"{call}: versions came as {versions}, the log says {delivery.sent_version}")
    elif world.policy.on_revision == "keep" and len(versions) > 1 and Action.DELIVER not in actions:
        wrong.append(f"{call}: versions {versions} came, one is enough")
    elif (
        world.policy.on_revision == "update"
        and Action.DROP not in actions
        and outcomes[versions[-1]] != outcomes[max(outcomes)]
    ):
        wrong.append(f"{call}: {versions} came, the newest is {max(outcomes)}")
    return wrong


def _revision_problem(world: World, delivery: Delivery, entry: Entry) -> str:
    """The fault in the version that the CRM shows, or in its notes of later ones; empty: none."""
    notes = [note.version for note in world.crm.notes if note.call == delivery.call_id]
    if len(notes) != len(set(notes)):
        return f"the same version was noted twice: {notes}"
    if entry.version == CHANGED_BY_PERSON:
        return ""
    if delivery.sent_version not in (entry.version, *notes[-1:]):
        return f"log says version {delivery.sent_version}, CRM has {entry.version} and notes {notes}"
    kept = world.policy.on_revision == "keep" or delivery.skip is not None
    return "" if kept or delivery.state is State.DELIVERED else "a later version is missing"
