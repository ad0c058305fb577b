"""Failures of connectors and tasks: a Java stack trace becomes one line for a person, and what to do. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.source import ConnectorConfig

MAX_REASON_LENGTH = 300
"""Characters of a message that is shown as it came."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connector or task failed."""

    reason: str
    remedy: str = ""
    needs_person: bool = False
    """Rows are missing, or will be: a restart that succeeds would only hide it."""

    def __str__(self) -> str:
        return f"{self.reason}. {self.remedy}" if self.remedy else self.reason


def user_file(engine: str) -> str:
    """The file that makes the database user, as messages name it."""
    return f"connectors/{engine}/capture_user.sql"


USER_FILE = user_file("mariadb")
REFERENCE = "connect.password_reference"
"""In a remedy: `with_reference` puts what it is set to there."""
LOGIN_REMEDY = (
    f"Kafka Connect takes the password from {REFERENCE}. On its host: is that file there, does its "
    "config.providers.file.param.allowed.paths hold the file's folder, does the file have that line? Only then compare "
    "the password with the user's ({user_file} makes the user)."
)

START_AFRESH = (
    "Run: cel2crm connectors start-afresh. It captures from then on, and names the backfill for the rows between."
)


class KnownFailure(NamedTuple):
    """A pattern looked for in a whole stack trace. `{0}` in the reason is the text that its group matched."""

    pattern: str
    reason: str
    remedy: str
    needs_person: bool = False


# The first that is found counts.
KNOWN: tuple[KnownFailure, ...] = (
    KnownFailure(
        r"Access denied for user '([^']*)'@",
        "the database refuses user {0}: wrong password, or no such user",
        LOGIN_REMEDY.format(user_file=USER_FILE),
    ),
    KnownFailure(
        r"Account is locked|Access denied, this account is locked",
        "the database user is locked",
        f"Give it a password: the first lines of {USER_FILE} say how.",
    ),
    KnownFailure(
        r"(?:SELECT|SHOW VIEW) command denied to user '?([^'@]*)",
        "the database user {0} may not read the table",
        f"Grant what {USER_FILE} grants.",
    ),
    KnownFailure(
        r"need \(at least one of\) the ([A-Z ,()]+?) privilege",
        "the database user lacks the privilege {0}",
        f"Grant what {USER_FILE} grants.",
    ),
    KnownFailure(
        r"no longer available on the server|Could not find first log file name|purged (?:the )?binary logs|"
        r"binlog that has been purged|error code:? ?=? ?1236|errno:? 1236",
        "the binlog was purged before it was read (error 1236): rows are missing on the topic",
        f"{START_AFRESH} Then raise binlog_expire_logs_seconds.",
        needs_person=True,
    ),
    KnownFailure(
        r"this\.gtidSet\"? is null",
        "the database's binlog holds no transaction yet (Debezium fails then)",
        "It works as soon as anything has been written, a call's first row is enough: then give the command again.",
    ),
    KnownFailure(
        r"history topic (?:is|or its content is fully or partially) missing|history topic .{0,40}missing",
        "the schema history topic has lost its records",
        START_AFRESH,
        needs_person=True,
    ),
    KnownFailure(
        r"Topic (\S+) not present in metadata",
        "topic {0} does not exist",
        "Run: cel2crm topics apply",
    ),
    KnownFailure(
        r"UnknownTopicOrPartitionException",
        "a topic that the connector needs does not exist",
        "Run: cel2crm topics apply",
    ),
    KnownFailure(
        r"SaslAuthenticationException",
        "the brokers refuse the login of Kafka Connect",
        "Compare connect.kafka.sasl_username, and what connect.kafka.sasl_password_reference leads to, with the "
        "brokers' user. Connect's own properties file has a login too: cel2crm connectors worker-properties.",
    ),
    KnownFailure(
        r"SslAuthenticationException|SSLHandshakeException",
        "Kafka Connect and the brokers do not trust each other's certificates",
        "Check connect.kafka.ssl_ca_file and connect.kafka.ssl_keystore_file on the Connect host.",
    ),
    KnownFailure(
        r"Not authorized to access (?:topics|group): ?\[?([^\]\s]+)",
        "Kafka Connect may not use {0}: the brokers have no ACL for it",
        "Run: cel2crm topics acls connect --apply",
    ),
    KnownFailure(
        r"UnknownHostException: ([^\s:]+)",
        "host {0} is not known to Kafka Connect",
        "Check database.host and kafka.bootstrap_servers as the Connect host sees them.",
    ),
    KnownFailure(
        r"Socket fail to connect to (?:host:)?(?:address=\(host=)?([^\s,)]+)",
        "no database answers at {0}",
        "Start it, or check database.host and database.port as the Connect host sees them.",
    ),
    KnownFailure(
        r"Connection refused|Communications link failure|Could not connect to address|connect timed out",
        "no database answers",
        "Start it, or check database.host and database.port as the Connect host sees them.",
    ),
    KnownFailure(
        r"binlog_format .{0,60}ROW|not configured to use a ROW binlog_format",
        "the database does not write its binlog by rows",
        "Set binlog_format=ROW in the [mariadb] section of its configuration, and restart it.",
    ),
    KnownFailure(
        r"Field does not exist: (\S+)|ValueToKey .{0,80}field (\S+)",
        "the rows have no column {0}",
        "Check database.column_name_aliases.cel_linkedid.",
    ),
    KnownFailure(
        r"Could not read properties from file (\S+)|NoSuchFileException: (\S+)",
        "Kafka Connect cannot read the file with the password ({0})",
        "Check that the file of connect.password_reference is there on the Connect host, readable for Connect.",
    ),
)


def known_failures(engine: str) -> tuple[KnownFailure, ...]:
    """The failures of a connector that follows a binlog, with the engine's own files in their remedies."""
    section = {"mariadb": "[mariadb]", "mysql": "[mysqld]"}[engine]
    return tuple(
        each._replace(remedy=each.remedy.replace(USER_FILE, user_file(engine)).replace("[mariadb]", section))
        for each in KNOWN
    )


def explain(trace: str, secrets: Iterable[str] = (), known: Sequence[KnownFailure] = KNOWN) -> Failure:
    """The failure behind a Java stack trace, in one line; `secrets` never appear in it.

    `known`: what a connector of this kind is known to fail with.
    """
    for each in known:
        if found := re.search(each.pattern, trace, re.IGNORECASE):
            named = next((group for group in found.groups() if group), "").strip(" .'\"")
            reason = masked(each.reason.format(named).replace("  ", " "), secrets)
            return Failure(reason, each.remedy, each.needs_person)
    return Failure(masked(root_cause(trace), secrets))


def root_cause(trace: str) -> str:
    """The innermost `Caused by:` of a Java stack trace, without the class's package."""
    lines = [
        line.strip()
        for line in trace.splitlines()
        if line.strip() and not line.startswith(("\tat ", "    at ", "\t..."))
    ]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    line = causes[-1] if causes else (lines[0] if lines else "no reason is given")
    line = re.sub(r"^(?:[a-z][\w]*\.)+([A-Z][\w$]*)", r"\1", line)
    return line if len(line) <= MAX_REASON_LENGTH else line[: MAX_REASON_LENGTH - 1] + "…"


def masked(line: str, secrets: Iterable[str]) -> str:
    """`line` with each secret replaced by ***."""
    for secret in secrets:
        if secret:
            line = line.replace(secret, "***")
    return line


def with_reference(known: Sequence[KnownFailure], reference: str) -> list[KnownFailure]:
    """The failures with the reference in force in their remedies; a password that stands in its place is not shown."""
    if not re.fullmatch(r"\$\{[^${}]+\}", reference):
        return list(known)
    return [each._replace(remedy=each.remedy.replace(REFERENCE, f"{REFERENCE}, now {reference}")) for each in known]


def setting_of(field: str, config: ConnectorConfig) -> str:
    """A field of the configuration in our messages, with its value unless that is a secret."""
    if "password" in field or field not in config:
        return field
    return f"{field} = {config[field]}"
