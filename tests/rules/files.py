"""An operator's rule file, in words."""

from streams.errors import RulesError
from streams.rules import Rules, build_rules
from streams.rules.lines import Faults
from streams.rules.source import RuleSource
from streams.settings import RuleSettings


def rules_of(text: str, **settings: object) -> Rules:
    """The rules in force with a file `own.yaml`. Raises RulesError."""
    faults, own = Faults(), RuleSource()
    own.add(text, "own.yaml", faults)
    rules = build_rules(own, RuleSettings.model_validate(settings), faults)
    faults.raise_any()
    return rules


def refusal(text: str) -> str:
    """What the operator is told about a bad file; empty where it is good."""
    try:
        rules_of(text)
    except RulesError as refused:
        return str(refused)
    return ""
