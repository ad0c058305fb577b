"""Local channels of which one half went on under another linkedid: what it met there is in that call's rows.

A channel that enters a bridge takes the oldest linkedid in it (main/bridge_channel.c,
ast_bridge_channel_update_linkedids). An agent who logged in (AgentLogin) is on a channel of an older call, so the far
half of the Local channel that leads to them leaves the caller's call. An attended transfer into a queue parts the
halves of the member's Local channel in the same way.
"""

from streams.calls.channel_name import is_local, local_twin
from streams.calls.facts import CallFacts


def halves_gone(facts: CallFacts) -> frozenset[str]:
    """Names of the halves of Local channels behind which somebody is whom the call's own rows do not show.

    A half that began in the call and has no end in it, though its other half, and the call, ended; and of a Local
    channel that came with the calling one's attended transfer, the half that did not come.
    """
    calling = facts.calling
    halves = {each.name: each for each in facts.channels.values() if not each.real and is_local(each.name)}
    if calling is None or not calling.real or not halves:
        return frozenset()
    transferred = any(transfer.moves(calling.uniqueid) for transfer in facts.transfers)
    found = set()
    for name, half in halves.items():
        twin = local_twin(name)
        other = halves.get(twin or "")
        if half.started_in_call and half.ended is None and other is not None and other.ended is not None:
            found.add(name)
        elif twin and other is None and transferred and not half.started_in_call:
            found.add(twin)
    over = calling.ended is not None or any(row.eventtype == "LINKEDID_END" for row in facts.rows)
    return frozenset(found) if over else frozenset()
