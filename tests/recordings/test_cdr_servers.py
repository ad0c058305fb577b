"""The name of a recording out of a real table of call detail records, by a user who may read nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
import pytest
from pydantic import SecretStr

from streams.errors import UserError
from streams.recordings.cdr import recordingfile
from streams.settings import RecordingSettings
from tests.crm.calls import call_result

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

PASSWORD = "read-recordings"
ROWS = [
    ("1.1", "1.1", 5, "in-short.wav"),
    ("1.2", "1.1", 60, "in-long.wav"),
    ("1.3", "1.1", 900, ""),
    ("2.1", "2.1", 9, ""),
    ("3.1", "3.1", 9, "/var/spool/asterisk/monitor/2026/11/22/q-3.wav"),
]
"""uniqueid, linkedid, billsec, recordingfile."""


@pytest.fixture(scope="module")
def table(stack: "LocalStack") -> Iterator[dict[str, Any]]:
    """FreePBX's table as far as recordings go."""
    at = stack.endpoints
    connection = pymysql.connect(
        host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE DATABASE recorded DEFAULT CHARSET utf8mb4")
        columns = "uniqueid varchar(32), linkedid varchar(32), billsec int, recordingfile varchar(255)"
        cursor.execute(f"CREATE TABLE recorded.cdr ({columns}, KEY (linkedid))")
        cursor.execute("CREATE TABLE recorded.secrets (recordingfile varchar(255), linkedid varchar(32), billsec int)")
        cursor.executemany("INSERT INTO recorded.cdr VALUES (%s, %s, %s, %s)", ROWS)
        cursor.execute("CREATE OR REPLACE USER recordings@'%%' IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute("GRANT SELECT ON recorded.cdr TO recordings@'%'")
    yield {"host": at.mariadb_host, "port": at.mariadb_port, "user": "recordings", "name": "recorded"}


def settings(at: dict[str, Any], **fields: Any) -> RecordingSettings:
    cdr = {**at, "password": SecretStr(PASSWORD), **fields}
    return RecordingSettings.model_validate(
        {
            "folder": Path("/var/spool/asterisk/monitor"),
            "file": "{recordingfile}",
            "send": "file",
            "cdr": cdr,
        }
    )


def test_the_longest_talk_names_the_recording(table: dict[str, Any]) -> None:
    assert recordingfile(settings(table), call_result(linkedid="1.1")) == "in-long.wav"
    assert recordingfile(settings(table, call_column="uniqueid"), call_result(linkedid="1.1")) == "in-short.wav"
    assert recordingfile(settings(table), call_result(linkedid="3.1")) == "2026/11/22/q-3.wav"


@pytest.mark.parametrize("linkedid", ["2.1", "9.9", "' OR '1'='1", "%"])
def test_a_call_without_one_has_none(linkedid: str, table: dict[str, Any]) -> None:
    assert recordingfile(settings(table), call_result(linkedid=linkedid)) is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"password": SecretStr("wrong")}, "recordings[].cdr: "),
        ({"table": "secrets"}, "recordings[].cdr: "),
        ({"table": "nothing"}, "recordings[].cdr: "),
        ({"port": 1}, "recordings[].cdr: "),
    ],
)
def test_a_table_that_cannot_be_read_is_told_in_its_settings_words(
    fields: dict[str, Any], told: str, table: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as refused:
        recordingfile(settings(table, **fields), call_result())
    assert refused.value.problem.startswith(told) and PASSWORD not in str(refused.value)
    assert "recordings[].cdr" in refused.value.remedy and " database." not in refused.value.remedy
