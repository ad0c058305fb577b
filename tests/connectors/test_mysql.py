"""MySQL: what is refused of a server, how it is asked about its binlog, the comparison of histories with its GTIDs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from pymysql.constants import ER

from connectors.failures import explain, known_failures
from connectors.mariadb.binlog_progress import has_passed
from connectors.mariadb.checks import grant_refusals
from connectors.mariadb.history import BinlogMark, DatabaseHistory, DatabaseSnapshot, compare
from connectors.mysql.binlog import MySqlQueries
from connectors.mysql.checks import binlog_refusals

GOOD = {"log_bin": "1", "binlog_format": "ROW", "binlog_row_image": "FULL", "gtid_mode": "ON"}
SERVER = "eb02f4c7-ebaf-11f1-987c-02fc00000001"
OTHER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
MARK = BinlogMark("binlog.000003", 833, f"{SERVER}:1-3", 11, "digest")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("log_bin", "0", "writes no binlog"),
        ("binlog_format", "STATEMENT", "SET PERSIST binlog_format = ROW"),
        ("binlog_row_image", "NOBLOB", "SET PERSIST binlog_row_image = FULL"),
        ("gtid_mode", "OFF", "gtid_mode is OFF: no row could be backfilled"),
        ("gtid_mode", "ON_PERMISSIVE", "gtid_mode is ON_PERMISSIVE"),
    ],
)
def test_a_binlog_that_loses_rows_or_cannot_be_backfilled_is_refused(variable: str, value: str, words: str) -> None:
    assert binlog_refusals(GOOD) == []
    (line,) = binlog_refusals(GOOD | {variable: value})
    assert words in line


def test_a_missing_grant_is_called_as_mysql_calls_it() -> None:
    (line,) = grant_refusals(["GRANT REPLICATION SLAVE ON *.* TO `u`@`%`"], "mysql")
    assert "lacks REPLICATION CLIENT" in line and "connectors/mysql/capture_user.sql" in line
    assert grant_refusals(["GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `u`@`%`"], "mysql") == []


class Answers:
    """A cursor that knows the answers to some statements by how they begin."""

    def __init__(self, answers: Mapping[str, list[dict[str, Any]] | int]) -> None:
        self._answers, self._rows = answers, list[dict[str, Any]]()

    def execute(self, query: str, values: object = None) -> None:
        answer = next(found for begin, found in self._answers.items() if query.startswith(begin))
        if isinstance(answer, int):
            raise pymysql.err.OperationalError(answer, "no")
        self._rows = answer

    def fetchall(self) -> list[dict[str, Any]]:
        return self._rows


def gtids_at(events: list[dict[str, Any]] | int) -> str | None:
    return MySqlQueries().gtids_at(Answers({"SHOW BINLOG EVENTS": events}), MARK)  # type: ignore[arg-type]


def test_a_mark_holds_where_the_file_ends_or_another_transaction_follows() -> None:
    assert gtids_at([]) == MARK.gtids
    assert gtids_at([{"Info": f"SET @@SESSION.GTID_NEXT= '{SERVER}:4'"}]) == MARK.gtids
    assert gtids_at([{"Info": "binlog.000004;pos=4"}]) == MARK.gtids


def test_a_mark_does_not_hold_where_no_event_begins_or_a_transaction_that_was_there_before_follows() -> None:
    assert gtids_at(ER.ERROR_WHEN_EXECUTING_COMMAND) is None
    assert gtids_at([{"Info": f"SET @@SESSION.GTID_NEXT= '{SERVER}:2'"}]) is None
    with pytest.raises(pymysql.err.OperationalError):
        gtids_at(ER.ACCESS_DENIED_ERROR)


def test_the_end_of_the_binlog_is_asked_for_by_the_name_that_the_server_knows() -> None:
    status = [{"File": "binlog.000003", "Position": 833, "Executed_Gtid_Set": f"{SERVER}:1-3"}]
    expected = BinlogMark("binlog.000003", 833, f"{SERVER}:1-3")
    for answers in (
        {"SHOW MASTER STATUS": status},
        {"SHOW MASTER STATUS": ER.PARSE_ERROR, "SHOW BINARY LOG STATUS": status},
    ):
        assert MySqlQueries().end(Answers(answers)) == expected  # type: ignore[arg-type]


REMEMBERED = DatabaseHistory(f"{SERVER}:1-3", MARK, None, 7, SERVER)
NOW = DatabaseSnapshot(
    DatabaseHistory(f"{SERVER}:1-9,\n{OTHER}:1", None, None, 7, SERVER), {"binlog.000003": 9000}, MARK.gtids, "digest"
)


def test_the_same_binlog_goes_on_whoever_wrote_the_transactions() -> None:
    assert compare(REMEMBERED, NOW).interruption is None


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (DatabaseHistory(f"{SERVER}:2-9", None, None, 7, SERVER), "gone back"),
        (DatabaseHistory(f"{OTHER}:1-9", None, None, 7, OTHER), "gone back"),
    ],
)
def test_a_history_without_a_remembered_transaction_is_another_one(history: DatabaseHistory, words: str) -> None:
    assert words in str(compare(REMEMBERED, replace(NOW, history=history)).interruption)


def test_a_replica_that_took_over_has_the_transactions_and_is_told_all_the_same() -> None:
    promoted = DatabaseSnapshot(DatabaseHistory(f"{SERVER}:1-9", None, None, 8, OTHER), {"other-bin.000004": 900})
    assert "another server answers" in str(compare(REMEMBERED, promoted).interruption)


def test_a_position_has_passed_a_mark_when_it_has_its_transactions_or_is_behind_it() -> None:
    assert has_passed(BinlogMark("", 0, f"{SERVER}:1-5"), MARK)
    assert not has_passed(BinlogMark("binlog.000003", 700, f"{SERVER}:1-2"), MARK)
    assert has_passed(BinlogMark("binlog.000004", 4, f"{SERVER}:2-3"), MARK)


def test_failures_name_mysqls_own_files() -> None:
    failure = explain(
        "Caused by: java.sql.SQLException: Access denied for user 'cel2crm'@'h'", (), known_failures("mysql")
    )
    assert "connectors/mysql/capture_user.sql makes the user" in failure.remedy
    failure = explain("The MySQL server is not configured to use a ROW binlog_format", (), known_failures("mysql"))
    assert "[mysqld] section" in failure.remedy
