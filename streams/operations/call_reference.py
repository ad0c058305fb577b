"""Calls as people name them: a call id (`office/1795389780.0`), or a bare linkedid, which is one of every PBX."""

from streams.calls.call import call_id
from streams.settings import Settings


def split_call_id(text: str, settings: Settings) -> tuple[str | None, str]:
    """PBX and linkedid of a call that a person named; the PBX is None where the text is a bare linkedid."""
    names = {each.name for each in (settings.pbx, *settings.other_pbxs)}
    pbx, slash, linkedid = text.partition("/")
    return (pbx, linkedid) if slash and pbx in names else (None, text)


def call_ids(text: str, settings: Settings) -> list[str]:
    """The calls that a person may mean: a bare linkedid stands for the call of that name at each PBX."""
    pbx, linkedid = split_call_id(text, settings)
    names = [each.name for each in (settings.pbx, *settings.other_pbxs)]
    return [call_id(name, linkedid) for name in ([pbx] if pbx else names)]
