"""The name of a call's recording in the PBX's table of call detail records. Nothing else reads that table."""

from streams.calls.result import CallResult
from streams.errors import UserError
from streams.settings import DatabaseSettings, RecordingSettings, secret
from streams.sources.engines import ENGINES


def recordingfile(settings: RecordingSettings, result: CallResult) -> str | None:
    """The `recordingfile` of the call's longest talk; None: there is none, or not yet. Blocks.

    Raises UserError where the table cannot be read.
    """
    cdr = settings.cdr
    if cdr is None:
        return None
    database = DatabaseSettings(
        engine=cdr.engine, host=cdr.host, port=cdr.port, user=cdr.user, name=cdr.name, table=cdr.table
    )
    password = secret(cdr.password, cdr.password_file, "recordings.cdr.password")
    engine = ENGINES[cdr.engine]
    named, call = engine.quote("recordingfile"), engine.quote(cdr.call_column)
    sql = (
        f"SELECT {named} AS file FROM {engine.quote(cdr.table)} "  # noqa: S608 - quoted names of the settings
        f"WHERE {call} = %s AND {named} <> '' ORDER BY {engine.quote('billsec')} DESC LIMIT 1"
    )
    try:
        with engine.connect(database, password) as run:
            rows = run(sql, [result.linkedid])
    except UserError as error:
        remedy = error.remedy.replace("database.", "recordings[].cdr.")
        raise UserError(f"recordings[].cdr: {error.problem}", remedy) from None
    return _below(settings, str(rows[0]["file"])) if rows else None


def _below(settings: RecordingSettings, name: str) -> str:
    """FreePBX names a file; others name its whole path, of which the part below the folder counts."""
    folder = f"{settings.folder}/" if settings.folder else ""
    return name.removeprefix(folder) if folder else name
