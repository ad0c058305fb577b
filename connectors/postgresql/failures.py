"""What Debezium's PostgreSQL connector is known to fail with, beside what all connectors of ours fail with."""

from connectors.failures import KNOWN, LOGIN_REMEDY, START_AFRESH, KnownFailure
from connectors.postgresql.checks import USER_FILE

_SLOT = f"Where it is gone, make it as {USER_FILE} does. {START_AFRESH}"

POSTGRESQL: tuple[KnownFailure, ...] = (
    KnownFailure(
        # Both are told alike: a slot that is not there, and one that was made anew, ahead of the position.
        r"no longer available on the server|read-only mode but replication slot was not found|"
        r"replication slot \"([^\"]+)\" does not exist|cannot seek to the last known offset",
        "the replication slot is gone, or was made anew behind the connector's position: rows are missing on the topic",
        _SLOT,
        needs_person=True,
    ),
    KnownFailure(
        r"can no longer get changes from replication slot|slot .{0,80}(?:invalidated|exceeded the maximum reserved)|"
        r"requested WAL segment \S+ has already been removed",
        "the server has given the replication slot up, with WAL that was not read: rows are missing on the topic",
        f"{_SLOT} Raise max_slot_wal_keep_size.",
        needs_person=True,
    ),
    KnownFailure(
        r"replication slot \"([^\"]+)\" is active for PID",
        "replication slot {0} is in use by another connection",
        "A connection that was cut off frees it within wal_sender_timeout (a minute); else another connector has the "
        "same database.slot.",
    ),
    KnownFailure(
        r"publication \"([^\"]+)\" does not exist|[Pp]ublication .{0,60}(?:not found|not exist)",
        "publication {0} is gone: rows are missing on the topic",
        f"Make it anew as {USER_FILE} does, then: cel2crm connectors start-afresh. It names the backfill.",
        needs_person=True,
    ),
    KnownFailure(
        r"password authentication failed for user \"([^\"]*)\"",
        "the database refuses user {0}: wrong password, or no such user",
        LOGIN_REMEDY.format(user_file=USER_FILE),
    ),
    KnownFailure(
        r"role \"([^\"]*)\" is not permitted to log in",
        "the database user {0} may not log in",
        f"Give it a password and LOGIN: the first lines of {USER_FILE} say how.",
    ),
    KnownFailure(
        r"no pg_hba\.conf entry for .{0,80}user \"([^\"]*)\"",
        "pg_hba.conf of the database has no line for user {0} from the Connect host",
        f"Add one: the first lines of {USER_FILE} say how.",
    ),
    KnownFailure(
        r"must be superuser or replication role|permission denied to (?:use|start) .{0,20}(?:replication|WAL)",
        "the database user lacks REPLICATION",
        f"ALTER ROLE .. REPLICATION, as {USER_FILE} does.",
    ),
    KnownFailure(
        r"permission denied for (?:table|relation|schema) (\S+)",
        "the database user may not read {0}",
        f"Grant what {USER_FILE} grants.",
    ),
    KnownFailure(
        r"wal_level >= logical|logical decoding requires",
        "the database's WAL is not written for logical decoding",
        "Set wal_level = logical in postgresql.conf, and restart the server.",
    ),
    *KNOWN,
)
