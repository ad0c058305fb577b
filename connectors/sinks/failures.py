"""Failures of the sinks and their converter, as one line for a person and what to do."""

from connectors.failures import KNOWN, KnownFailure

_TABLES = "Compare the tables with what cel2crm connectors tables prints, and put back what was changed by hand."
_LOGIN = "Compare user of the sink, and what its password_reference leads to, with the database's user."
_WATCH = "cel2crm connectors watch restarts the sink when it is back: nothing is lost meanwhile."

_LAKE_KNOWN: tuple[KnownFailure, ...] = (
    KnownFailure(
        r"No FileSystem for scheme \"?(\w+)",
        "Kafka Connect has no jars for a warehouse of kind {0}://",
        "Put them into the sink's folder, and name their FileIO in properties of the sink (docs/analytics.md).",
    ),
    KnownFailure(
        r"Mkdirs failed to create \S*?(/\S+)|(/\S+) \(Permission denied\)|AccessDenied\w*: (/\S+)",
        "Kafka Connect cannot write to the lake's warehouse: {0}",
        "Give its user the right to, or name another lake.warehouse of the sink.",
    ),
    KnownFailure(
        r"getSubject is not supported",
        "the Hadoop jars beside Iceberg's sink do not run on this Java",
        "Use hadoop-client-runtime 3.4.2 or newer (docs/analytics.md), or a Java before 24 for Kafka Connect.",
    ),
    KnownFailure(
        r"RESTException: [^\n]*",
        "the lake's REST catalog does not answer, or not as one",
        f"Start it, or check lake.url of the sink as the Connect host sees it. {_WATCH}",
    ),
    KnownFailure(
        r"Coordinator unexpectedly terminated",
        "what was written to the lake could not be committed to its tables",
        f"The log of Kafka Connect has the reason under iceberg-coord. {_WATCH}",
    ),
)

# The first that is found counts. Whatever is said of Kafka, Connect and its files is as for the source.
SINK_KNOWN: tuple[KnownFailure, ...] = (
    *_LAKE_KNOWN,
    KnownFailure(
        r"password authentication failed for user \"?([^\"\s]+)|Access denied for user '([^']*)'@",
        "the database refuses user {0}: wrong password, or no such user",
        _LOGIN,
    ),
    KnownFailure(r"FATAL: (database \"[^\"]+\" does not exist)|(Unknown database '[^']+')", "{0}", _TABLES),
    KnownFailure(
        r"column \"([^\"]+)\" (?:of relation \S+ )?does not exist|Unknown column '([^']+)'",
        "the table has no column {0}",
        _TABLES,
    ),
    KnownFailure(
        r"(?:Could not find|Cannot create) table:? \S*?(\w+)(?: because|\s)|relation \"([^\"]+)\" does not exist|"
        r"Table '([^']+)' doesn't exist",
        "there is no table {0}, or the sink's user may not see it",
        _TABLES,
    ),
    KnownFailure(
        r"permission denied for (?:table|relation|view) (\w+)|"
        r"command denied to user [^\n]*? for table \S*?(\w+)\W?(?:\s|$)",
        "the sink's user may not write table {0}",
        "Grant it what docs/analytics.md names.",
    ),
    KnownFailure(
        r"null value in column \"([^\"]+)\"|Field '([^']+)' doesn't have a default value|"
        r"Column '([^']+)' cannot be null",
        "column {0} must have a value, and the records have none for it",
        _TABLES,
    ),
    KnownFailure(
        r"Cannot alter table '?\S*?(\w+)'? because",
        "table {0} lacks a column that its records have",
        f"cel2crm connectors status names it. {_TABLES}",
    ),
    KnownFailure(
        r"no unique or exclusion constraint matching the ON CONFLICT",
        "a table has not the primary key that it was made with",
        _TABLES,
    ),
    KnownFailure(
        r"ERROR: (column \"[^\"]+\" is of type [^\n]+)|(Data truncat\w+[^\n]*for column '[^']+')|"
        r"(Incorrect \w+ value: [^\n]*for column [^\n]+)|(Data too long for column '[^']+')|"
        r"ERROR: (value too long [^\n]+)",
        "{0}",
        _TABLES,
    ),
    KnownFailure(
        r"Could not open SSL root certificate file (\S+?)\.?\s|"
        r"Failed to (?:find|load) \w+ ?\w* ?(?:from )?serverSslCert[^\n]*?(/\S+)",
        "Kafka Connect finds no certificates of authorities at {0}",
        "Put the file of ssl_ca_file there on the Connect host, or set connect_ssl_ca_file of the sink.",
    ),
    KnownFailure(
        r"The server does not support SSL|ssl not enabled in the server",
        "the database speaks no TLS",
        "Switch TLS on there, or take ssl out of the sink.",
    ),
    KnownFailure(
        r"hostname \S+ could not be verified|The hostname could not be verified|"
        r"doesn't correspond to certificate|No subject alternative (?:names|DNS name)",
        "the database's certificate is of another name than the sink's host",
        "Use a name for the sink's host that its certificate holds.",
    ),
    KnownFailure(
        r"PKIX path (?:building|validation) failed|unable to find valid certification path|"
        r"CertPathValidatorException",
        "the database's certificate is signed by nobody whom the sink's ssl_ca_file names",
        "Set ssl_ca_file of the sink, or connect_ssl_ca_file for the Connect host, to the authority that signed it.",
    ),
    KnownFailure(
        r"insecure transport are prohibited|require_secure_transport|"
        r"no pg_hba\.conf entry [^\n]*(?:SSL off|no encryption)",
        "the database wants TLS",
        "Set ssl: true for the sink, and ssl_ca_file.",
    ),
    KnownFailure(
        r"(?:HikariPool|c3p0|An attempt by a client to checkout a Connection has timed out|"
        r"Connections could not be acquired from the underlying database|Connection to \S+ refused|"
        r"Socket fail to connect to|the database system is (?:starting up|shutting down)|Connection is closed|"
        r"This connection has been closed|An I/O error occurred while sending to the backend|Connection reset|"
        r"terminating connection due to administrator command|Unable to (?:acquire|open) JDBC Connection)",
        "no database answers",
        f"Start it, or check host and port of the sink as the Connect host sees them. {_WATCH}",
    ),
    KnownFailure(
        r"(?:RestClientException|ArtifactNotFoundException|ContentNotFoundException|No content with id[^\n]*)",
        "the registry does not know the schema of a record",
        "Restore the registry with its ids (docs/topics.md): the records bear them.",
    ),
    *KNOWN,
)
