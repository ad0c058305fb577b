"""Where calls' recordings are: `recordings:`, a list; the first entry that names a call's PBX counts."""

import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from streams.settings.section import Section
from streams.settings.values import MOST_PORT

FIELDS = frozenset(
    {
        *("pbx", "linkedid", "uniqueid", "did", "extension", "caller", "called", "client", "recordingfile"),
        *("year", "month", "day", "hour", "minute", "second"),
    }
)
"""What a template may name, in braces."""


def template_fields(template: str, known: frozenset[str] = FIELDS) -> tuple[str, ...]:
    """The fields of a template, in their order; `known`: those that it may name. Raises ValueError for what is none."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{template!r} is not a template: {error}") from None
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in known or form or conversion:
            raise ValueError(f"{{{name}}} is none of the fields of a template: {', '.join(sorted(known))}")
        names.append(name)
    return tuple(names)


def _file_template(template: str) -> str:
    template_fields(template)
    parts = template.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in template or "\0" in template:
        raise ValueError(
            f"{template!r} leaves its folder: name a file below `folder`, without a / at its start or `..`"
        )
    return template


def _address_template(template: str) -> str:
    template_fields(template)
    if not re.match(r"https?://[^/{}@]+/", template):
        raise ValueError(
            "an address begins with https://, a host and a /, without a name or password, and with fields only behind"
        )
    return template


def _link_base(text: str) -> str:
    if not re.fullmatch(r"https?://[^/{}@?#\s]+(/[^{}?#\s]*)?", text):
        raise ValueError("it is an address such as https://pbx.example.com/recordings")
    return text.rstrip("/")


class CallDetailRecordSettings(Section):
    """The PBX's table of call detail records, which names a call's recording. A user of its own needs SELECT on it."""

    engine: Literal["mariadb", "mysql", "postgresql"] = "mariadb"
    host: str = "127.0.0.1"
    port: int = Field(default=3306, ge=1, le=MOST_PORT)
    user: str = "cel2crm_recordings"
    password: SecretStr | None = None
    password_file: Path | None = None
    name: str = "asteriskcdrdb"
    table: str = "cdr"
    call_column: Literal["linkedid", "uniqueid"] = "linkedid"
    """The column that holds a call's linkedid; `uniqueid` for tables that have no linkedid."""


class RecordingSettings(Section):
    """Where the recordings of one PBX, or of all, are, and how CRMs get them."""

    pbxs: tuple[str, ...] = ()
    """PBXs whose recordings these are; empty: all."""
    address: Annotated[str, AfterValidator(_address_template)] | None = None
    """Template of the address from which a CRM gets a recording."""
    file: Annotated[str, AfterValidator(_file_template)] | None = None
    """Instead of an address: template of the file, below `folder`."""
    folder: Path | None = None
    """The folder of the recordings on this machine. Files outside of it are never read, nor symbolic links followed."""
    link: Annotated[str, AfterValidator(_link_base)] | None = None
    """For `file`: where the outside reaches `cel2crm serve-recordings`; CRMs get signed links below it."""
    link_key: SecretStr | None = None
    link_key_file: Path | None = None
    """What signs the links: 32 characters or more, `openssl rand -base64 32`. Several keys (one a line): the first
    signs, all are good."""
    link_days: float = Field(default=365.0, gt=0, le=36_500)
    """So long after the call its link is good."""
    send: Literal["address", "file"] = "address"
    """file: CRMs that take files get the file itself; the others get the link, where there is one."""
    check: bool = True
    """False: do not look whether a recording is there before a CRM is told of it."""
    unanswered: bool = False
    """Look for the recordings of calls that nobody answered, too (voice mail)."""
    give_up_hours: float = Field(default=2.0, gt=0, le=24 * 7)
    """A recording that is not there so long after the call is not coming: most calls have none."""
    largest_megabytes: int = Field(default=100, ge=1, le=2000)
    """A larger recording is not told to any CRM."""
    cdr: CallDetailRecordSettings | None = None
    """For {recordingfile}: the table that names it."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.address is None) == (self.file is None):
            raise ValueError("set either address, or file and folder")
        if self.file is not None and self.folder is None:
            raise ValueError("file needs folder, below which it is")
        if self.file is not None and self.link is None and self.send != "file":
            raise ValueError("file needs link, where cel2crm serve-recordings is reached, or send: file")
        if self.file is None and self.send == "file":
            raise ValueError("send: file needs file and folder")
        if self.link is not None and self.link_key is None and self.link_key_file is None:
            raise ValueError("link needs link_key_file, a file with what signs the links")
        if "recordingfile" in template_fields(self.address or self.file or "") and self.cdr is None:
            raise ValueError("{recordingfile} needs cdr, the table that names it")
        return self
