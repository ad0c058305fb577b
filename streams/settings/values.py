"""Values of settings that need more than a range: each check says what is wrong and what is allowed."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator

from streams.rows.row import COLUMNS

MOST_PORT = 65_535


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone of the IANA database, such as Europe/Moscow") from error
    return name


def _known_aliases(aliases: dict[str, str]) -> dict[str, str]:
    allowed = {f"cel_{column}" for column in COLUMNS}
    unknown = sorted(set(aliases) - allowed)
    if unknown:
        raise ValueError(f"no such column: {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}")
    return aliases


def _known_servers(text: str) -> str:
    """Refuse a list of brokers that no client can use: aiokafka ends with a traceback for some."""
    for server in text.split(","):
        host, colon, port = server.strip().partition(":") if "]" not in server else server.strip().rpartition(":")
        usable = port.isascii() and port.isdigit() and 1 <= int(port) <= MOST_PORT if colon else True
        if not host or not usable:
            raise ValueError(f"{server.strip()!r} is not host:port with a port from 1 to {MOST_PORT}")
    return text


def _as_text(value: Any) -> Any:
    """Everybody writes 1001: 11, which YAML takes for numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _known_region(region: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS  # not for commands that know the default to be one

    if region not in SUPPORTED_REGIONS:
        raise ValueError(f"{region!r} is not an ISO country with phone numbers, such as RU, DE or US")
    return region


ZoneName = Annotated[str, AfterValidator(_known_zone)]
Aliases = Annotated[dict[str, str], AfterValidator(_known_aliases)]
Servers = Annotated[str, AfterValidator(_known_servers)]
Region = Annotated[str, AfterValidator(_known_region)]
NumberAsText = Annotated[str, BeforeValidator(_as_text)]
"""An extension, or a person's id at a CRM."""
