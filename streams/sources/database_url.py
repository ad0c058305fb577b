"""A database named on the command line: `mysql://user@host:3306/asteriskcdrdb?table=cel`. Never with a password."""

from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from streams.errors import UserError
from streams.settings import DatabaseSettings

Engine = Literal["mariadb", "mysql", "postgresql"]

SCHEMES: dict[str, Engine] = {
    "mysql": "mysql",
    "mariadb": "mariadb",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
PORTS: dict[Engine, int] = {"mariadb": 3306, "mysql": 3306, "postgresql": 5432}

EXAMPLE = "mysql://cel2crm@10.0.0.5:3306/asteriskcdrdb?table=cel"


def is_database_url(text: str) -> bool:
    """Whether an argument names a database, and not a file."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def database_from_url(url: str, settings: DatabaseSettings) -> DatabaseSettings:
    """The database of a URL; what it leaves out, and the password, are those of the settings.

    Raises UserError for a URL that holds a password, or something that is not understood; never shows a password.
    """
    try:
        parts = urlsplit(url)
        host, port, user, password = parts.hostname, parts.port, parts.username, parts.password
    except ValueError as error:
        raise UserError(f"a database URL that cannot be read: {error}", f"Like this: {EXAMPLE}") from None
    if password is not None:
        raise UserError(
            "the database URL holds a password: every user of this machine can read it in the list of processes, and "
            "the shell remembers it",
            "Leave it out; set database.password_file in the settings, or the environment variable "
            "CEL2CRM_DATABASE__PASSWORD.",
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    table = options.pop("table", None)
    if options or parts.fragment:
        raise UserError(
            f"a database URL takes table= alone, not {', '.join(sorted(options)) or '#' + parts.fragment}",
            f"Like this: {EXAMPLE}",
        )
    engine = SCHEMES[parts.scheme.lower()]
    given = {
        "engine": engine,
        "host": host or settings.host,
        "port": port or (settings.port if settings.engine == engine and not host else PORTS[engine]),
        "user": unquote(user) if user else settings.user,
        "name": unquote(parts.path.strip("/")) or settings.name,
        "table": table or settings.table,
    }
    return settings.model_copy(update=given)
