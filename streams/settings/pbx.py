"""PBXs: name, database and numbers of each."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from streams.settings.section import Section
from streams.settings.values import MOST_PORT, Aliases, Region, ZoneName

POSTGRESQL_PORT = 5432


class PbxSettings(Section):
    """One PBX: its name stands in every call id, `<pbx>/<linkedid>`, and must never change afterwards."""

    name: str = Field(default="pbx1", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")
    timezone: ZoneName | None = None
    """Zone of `eventtime`; None: taken from the difference to the UTC second in `uniqueid`."""


class DatabaseSettings(Section):
    """The PBX's database, which is only ever read."""

    engine: Literal["mariadb", "mysql", "postgresql"] = "mariadb"
    host: str = "127.0.0.1"
    port: int = Field(default=3306, ge=1, le=MOST_PORT)
    """PostgreSQL: 5432 unless set."""
    user: str = "cel2crm"
    password: SecretStr | None = None
    password_file: Path | None = None
    name: str = "asteriskcdrdb"
    table: str = "cel"
    """PostgreSQL: with its schema, unless that is `public`."""
    publication: str = Field(default="cel2crm", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """PostgreSQL: the publication of the table's inserts."""
    slot: str | None = Field(default=None, pattern=r"^[a-z0-9_]{1,63}$")
    """PostgreSQL: the replication slot; None: `cel2crm_` and the PBX's name in small letters, with `_` for `-`."""
    column_name_aliases: Aliases = Field(default_factory=dict)
    """`cel_<column>`: the name that the column has in this table.

    `cel_extra: id` asks for the old way, with two statuses, for every call.
    """

    @model_validator(mode="before")
    @classmethod
    def _with_port(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("engine") == "postgresql" and given.get("port") is None:
            return {**given, "port": POSTGRESQL_PORT}
        return given


class NumberSettings(Section):
    """Numbers and trunks: how the inside is told from the outside."""

    internal_digits: int | None = Field(default=None, ge=1, le=9)
    """Numbers of 1 to this many digits are extensions; None: as the direction patterns say (4)."""
    internal_patterns: tuple[str, ...] = ()
    """Regular expressions of further inside numbers, matched whole: mobile staff, long extensions."""
    trunks: tuple[str, ...] = ()
    """Names of trunks as in the channel name (`PJSIP/<trunk>-0000001a`); the end may be `*`."""
    region: Region = "RU"
    """ISO country for national numbers (phonenumbers)."""
    rewrite: tuple[tuple[str, str], ...] = ()
    """Pairs of regular expression and replacement, applied in order to outside numbers before anything else."""


class ListedPbxSettings(PbxSettings):
    """One of several PBXs, with all that is its own."""

    database: DatabaseSettings = DatabaseSettings()
    numbers: NumberSettings | None = None
    """None: as the section `numbers` has them."""
    bridges_logged: bool | None = None
    """None: as aggregate.bridges_logged."""
    password_reference: str | None = None
    """How Kafka Connect finds this database's password; None: as connect.password_reference."""

    def sections(
        self, pbxs: "tuple[ListedPbxSettings, ...]", numbers: NumberSettings, aggregate: Section, connect: Section
    ) -> dict[str, Any]:
        """The sections of the settings as they are for this PBX, where it differs from what all have."""
        found: dict[str, Any] = {
            "pbx": PbxSettings(name=self.name, timezone=self.timezone),
            "other_pbxs": tuple(
                PbxSettings(name=each.name, timezone=each.timezone) for each in pbxs if each.name != self.name
            ),
            "database": self.database,
            "numbers": self.numbers or numbers,
        }
        if self.bridges_logged is not None:
            found["aggregate"] = aggregate.model_copy(update={"bridges_logged": self.bridges_logged})
        if self.password_reference is not None:
            found["connect"] = connect.model_copy(update={"password_reference": self.password_reference})
        return found


_INSTEAD = ("pbx", "other_pbxs", "database")


def with_first_pbx(tree: Any) -> Any:
    """Settings with a list of PBXs as what knows one PBX has them: the first is `pbx`, with its `database`.

    Raises ValueError where one is named twice, or the sections for one PBX stand beside the list.
    """
    listed = tree.get("pbxs") if isinstance(tree, dict) else None
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(each, dict) for each in listed):
        return tree
    if beside := [name for name in _INSTEAD if tree.get(name)]:
        raise ValueError(
            f"{' and '.join(beside)} beside pbxs: what they say belongs into the list (a password from the "
            "environment: into the file that pbxs[].database.password_file names)"
        )
    names = [each.get("name", "pbx1") for each in listed]
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ValueError(f"two PBXs are named {', '.join(twice)} in pbxs")
    alone = [{key: each[key] for key in ("name", "timezone") if key in each} for each in listed]
    return {**tree, "pbx": alone[0], "other_pbxs": alone[1:], "database": listed[0].get("database") or {}}
