"""`cel2crm topics acls`: each part's rights on the brokers, from the declaration in acls.yaml."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from connectors.placeholders import Value, fill
from streams.crm.registry import registered
from streams.errors import UserError
from streams.kafka.access import Acl, Resource
from streams.settings import Settings

DECLARATION = Path(__file__).parent / "acls.yaml"

ACLS_TOOL = "kafka-acls.sh"

_EACH_CRM = "<crm.name>"


def parts(settings: Settings) -> dict[str, tuple[Acl, ...]]:
    """Every part of the product that there is by name, with what it is allowed; a CRM's worker has the CRM's name."""
    declared = yaml.safe_load(DECLARATION.read_text(encoding="utf-8"))["parts"]
    found: dict[str, tuple[Acl, ...]] = {}
    for name, lines in declared.items():
        for crm in registered().kinds if name == _EACH_CRM else ("",):
            if acls := tuple(_acls(lines, settings, {"crm.name": crm} if crm else {})):
                found[crm or name] = acls
    return found


def acls_of(settings: Settings, part: str) -> tuple[Acl, ...]:
    """What one part is allowed. Raises UserError: there is no such part."""
    known = parts(settings)
    if part not in known:
        raise UserError(f"there is no part {part}", f"Parts: {', '.join(known)}.")
    return known[part]


def principal_of(settings: Settings, part: str) -> str:
    """The brokers' name of a part: `User:..`; kafka.principals, else `User:<kafka.topic_prefix>-<part>`."""
    return settings.kafka.principals.get(part, f"User:{settings.kafka.topic_prefix}-{part}")


def command_lines(settings: Settings, part: str, acls: Sequence[Acl]) -> Iterator[str]:
    """A line of kafka-acls.sh for each resource of a part, without the options that say where the brokers are."""
    for acl in acls:
        operations = " ".join(f"--operation {each}" for each in acl.operations)
        pattern = " --resource-pattern-type prefixed" if acl.prefixed else ""
        yield (
            f"{ACLS_TOOL} --add --allow-principal '{principal_of(settings, part)}' {operations} "
            f"--{acl.resource} '{acl.name}'{pattern}"
        )


def as_json(settings: Settings) -> list[dict[str, Any]]:
    """Every ACL as one object: part, principal, resource, name, pattern, operations."""
    return [
        {
            "part": part,
            "principal": principal_of(settings, part),
            "resource": acl.resource,
            "name": acl.name,
            "pattern": "prefixed" if acl.prefixed else "literal",
            "operations": list(acl.operations),
        }
        for part, acls in parts(settings).items()
        for acl in acls
    ]


def _acls(lines: Sequence[Mapping[str, Any]], settings: Settings, further: Mapping[str, Value]) -> Iterator[Acl]:
    values: dict[str, Value] = {
        "kafka.topic_prefix": settings.kafka.topic_prefix,
        "connect.group_id": settings.connect.group_id,
        **further,
    }
    each_of: dict[str, list[dict[str, Value]]] = {
        "": [{}],
        "pbx": [{"pbx.name": pbx.name} for pbx in (settings.pbx, *settings.other_pbxs)],
        "hashed": [{}] if settings.privacy.hashed_topic else [],
        "sink": [{"sink.name": sink.called} for sink in settings.sinks],
        "lake": [{"sink.name": sink.called} for sink in settings.sinks if sink.in_lake],
    }
    for line in lines:
        (resource,) = (each for each in get_args(Resource) if each in line)
        made: dict[str, Acl] = {}  # of several sinks each topic once
        for one in each_of[line.get("each", "")]:
            name = str(fill(line[resource], {**values, **one}))
            made[name] = Acl(resource, name.removesuffix("*"), tuple(line["allow"]), prefixed=name.endswith("*"))
        yield from made.values()
