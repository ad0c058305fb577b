"""The contract of a CRM: what the rest of the product knows of it, as data.

A CRM is one folder (streams/crm/<name>, or a package of its own) whose `KIND` is a `CrmKind`. The registry finds it.
Nothing here imports settings, rules or clients: settings and rules ask a kind what is allowed, and only a worker loads
the adapter, which opens sockets.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

CONTRACT = 1
"""Rises when a kind or an adapter that was written for the number before could no longer be used."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""A CRM's name stands in topics, consumer groups, metrics and settings."""

SHORTEST_EXTERNAL_ID = 56
"""Characters of the hash that stands for a call id that is too long (shared/call_fields.external_id)."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A leaky bucket: `burst` requests at once, then `per_second`."""

    burst: int
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCodes:
    """The statuses that a CRM shows of a call, and the file with the table that chooses among them."""

    meanings: Mapping[str | int, str]
    """Each code, all of one type, in the CRM's own words."""
    package: str
    file: str
    """A file of the package: YAML with one section, named like the CRM, of lines `{result, when, status}`, and `text`
    where `with_text` says so. Every call with result 0 must find a line (docs/call-status.md)."""
    with_text: bool = False
    """A line may also give the words that the CRM's user reads: a name in rules/texts.yaml, or words."""
    presets: Mapping[str, str] = field(default_factory=dict)
    """By preset (`rules.preset`): a file of the same form, whose lines go before those of `file`."""

    def read(self, file: str = "") -> str:
        """The text of the table's file, or of another one of the package."""
        return files(self.package).joinpath(file or self.file).read_text(encoding="utf-8")


def refuse_options(options: Mapping[str, object]) -> None:
    """The check of a CRM that has no options. Raises ValueError: a misspelt setting must not be without effect."""
    if options:
        raise ValueError(f"unknown: {', '.join(sorted(options))}; this CRM has no options")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmKind:
    """One kind of CRM. Frozen data; what has a default may be left out."""

    contract: int
    """The CONTRACT that it was written for, as a number: never the constant, which is always up to date."""
    name: str
    title: str
    """The vendor's name for it, as people read it."""
    summary: str
    """The work of its worker in one sentence, shown by `cel2crm worker --help`."""
    adapter: str
    """`module:attribute` of its CrmAdapter (shared/adapter.py), which is imported only where calls are delivered."""
    rate: Rate
    """The requests that a portal takes if its settings have no rate_limit."""
    statuses: StatusCodes | None = None
    """None: it shows the result itself, and has no table."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Settings of its portals with a default of their own."""
    required: Mapping[str, str] = field(default_factory=dict)
    """Settings without which its worker does not start, and what to do where one is missing."""
    unknown_number: tuple[str, ...] = ()
    """The CRM's ways with a number that it does not know; the first is the default. Empty: numbers do not matter."""
    users_by: tuple[str, ...] = ("id",)
    """How it can be told whose call it was; inner_phone: it finds users by their extension."""
    revisions: tuple[str, ...] = ("keep",)
    """The CRM's ways with a version that comes after delivery: keep, and the names in the plan's `revisions`."""
    check_options: Callable[[Mapping[str, object]], None] = refuse_options
    """Checks portals[].options, which are its own. Raises ValueError that names the option, never its value."""
    has_users: bool = True
    """Calls belong to one of its users. False: `portals[].route` is refused."""
    route_options: tuple[str, ...] = ()
    """The options that a line of `portals[].route` may give another value; `check_options` sees all of them then."""
    number_needed: bool = True
    """A call without a number of the other party cannot be shown in it, and is skipped."""
    longest_external_id: int = 64
    """Characters that it keeps of our id of a call."""
    cloud: str = ""
    """Regular expression of the vendor's domains: accounts are `<name>.<domain>`, and one may be renamed into another.
    Empty: every account has a domain of its own."""
    check: str = ""
    """`module:attribute` of its check (shared/check.py), which looks, without leaving a trace, whether a portal will
    take calls: `cel2crm portal check`, and at the start of its worker. Empty: none."""
    tasks: bool = False
    """It keeps tasks: its plan has the follow-ups of streams/crm/shared/tasks.py (portals[].missed_call_task)."""
    probe: str = ""
    """`module:attribute` of its CrmProbe (shared/probe.py), which tries with test calls what only a portal can tell:
    `cel2crm portal probe`, for trial accounts. Empty: none."""
    batch_setting: str = ""
    """Name of the portal setting that says when to take several steps in one request. Empty: when many calls wait."""

    def __post_init__(self) -> None:
        """Raises ValueError for what can be told to be wrong without importing the adapter."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a CRM's name: small letters, digits, - and _, at most 32")
        if self.longest_external_id < SHORTEST_EXTERNAL_ID:
            raise ValueError(f"{self.name}: longest_external_id is below {SHORTEST_EXTERNAL_ID}")
        if self.revisions[:1] != ("keep",):
            raise ValueError(f"{self.name}: the first of its revisions must be keep")
        re.compile(self.cloud)
