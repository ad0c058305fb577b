"""The cel table read as `classify`, `explain` and `capture` read it: real MariaDB, real PostgreSQL."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from deploy.demo.recordings import RECORDINGS
from deploy.local import LocalStack
from streams.errors import UserError
from streams.gaps.table import CelTable
from streams.rows.row import RowDecoder
from streams.settings import DatabaseSettings, Settings
from streams.sources.database import DatabaseRows
from streams.sources.finding import FileFinder, find_call
from tests.cli.commands import run
from tests.sources import own_server, postgresql

pytestmark = pytest.mark.servers

CASES = [json.loads(line) for line in RECORDINGS.read_text(encoding="utf-8").splitlines()]
ROWS = sorted(
    (
        row
        for case in CASES
        for row in case["cel"]
        if 500 <= int(case["cel"][0]["id"]) < 950 and "22 23:2" in row["eventtime"]
    ),
    key=lambda row: int(row["id"]),
)
"""Three minutes of one recording: ids and times rise together, as in a PBX's table."""

PASSWORD = "only for reading"
PICKED_UP, PICKER = "1795389970.80", "1795389971.82"

MARIADB_TABLE = (Path(__file__).parents[2] / "deploy" / "local" / "freepbx_cel.sql").read_text(encoding="utf-8")
POSTGRESQL_TABLE = """
CREATE TABLE cel (
  id serial primary key, eventtype varchar(30) not null, eventtime timestamp not null, cid_name varchar(80) not null,
  cid_num varchar(80) not null, cid_ani varchar(80) not null, cid_rdnis varchar(80) not null,
  cid_dnid varchar(80) not null, exten varchar(80) not null, context varchar(80) not null,
  channame varchar(80) not null, appname varchar(80) not null, appdata varchar(255) not null, amaflags int not null,
  accountcode varchar(20) not null, uniqueid varchar(150) not null, linkedid varchar(150) not null,
  peer varchar(80) not null, userdeftype varchar(255), userfield varchar(255) not null, eventextra text)
"""
"""As Asterisk's sample schema makes it, with another name for extra."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds the recordings, and how a command line names it."""

    url: str
    settings: DatabaseSettings
    settings_file: Path

    def run(self, *arguments: str) -> Any:
        return run(*arguments, "-s", str(self.settings_file))


@pytest.fixture(scope="module", params=["mariadb", "mariadb with MyISAM", "postgresql"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """FreePBX's table in MariaDB, or Asterisk's in PostgreSQL, with a user that may read it, and delete."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if request.param == "postgresql":
        if (programs := postgresql.programs()) is None:
            pytest.skip("PostgreSQL is not installed")
        with postgresql.running(programs) as server:
            _fill_postgresql(server)
            yield _table(folder, "postgresql", server.host, server.port, {"cel_extra": "eventextra"})
    else:
        stack: LocalStack = request.getfixturevalue("stack")
        at = stack.endpoints
        _fill_mariadb(stack, myisam="MyISAM" in request.param)
        yield _table(folder, "mariadb", at.mariadb_host, at.mariadb_port, {})


def _table(folder: Path, engine: str, host: str, port: int, aliases: dict[str, str]) -> Table:
    database = {"password_file": str(folder / "password"), "column_name_aliases": aliases}
    (folder / "s.yaml").write_text(json.dumps({"database": database}), encoding="utf-8")
    settings = DatabaseSettings.model_validate(
        {**database, "engine": engine, "host": host, "port": port, "user": "reader", "name": "readings"}
    )
    return Table(f"{engine}://reader@{host}:{port}/readings", settings, folder / "s.yaml")


def _fill_mariadb(stack: LocalStack, *, myisam: bool) -> None:
    at = stack.endpoints
    create = MARIADB_TABLE[MARIADB_TABLE.lower().index("create table") :].replace("asteriskcdrdb.", "readings.")
    create = create.rstrip().rstrip(";") + (" engine=MyISAM" if myisam else "")
    names = list(ROWS[0])
    insert = f"INSERT INTO readings.cel ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608
    connection = pymysql.connect(
        host=at.mariadb_host, port=at.mariadb_port, user="root", password=at.mariadb_root_password, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE DATABASE readings DEFAULT CHARSET utf8mb4")
        cursor.execute(create)
        cursor.execute("CREATE OR REPLACE USER reader@'%%' IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute("GRANT SELECT, DELETE ON readings.cel TO reader@'%'")
        cursor.executemany(insert, [[row[name] for name in names] for row in ROWS])


def _fill_postgresql(server: postgresql.Server) -> None:
    server.run("CREATE DATABASE readings", f"CREATE USER reader PASSWORD '{PASSWORD}'")
    server.run(POSTGRESQL_TABLE, "GRANT SELECT, DELETE ON cel TO reader", database="readings")
    names = [name if name != "extra" else "eventextra" for name in ROWS[0]]
    insert = f"INSERT INTO cel ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608
    with psycopg.connect(
        host=server.host, port=server.port, user="postgres", password=own_server.PASSWORD, dbname="readings"
    ) as connection:
        connection.cursor().executemany(insert.encode(), [list(row.values()) for row in ROWS])


def outcomes(text: str) -> dict[str, tuple[object, ...]]:
    """Each call's outcome but for its times: FreePBX's column has whole seconds."""
    names = ("direction", "answered", "answered_by", "talked_with", "result", "bitrix24", "kommo")
    return {each["linkedid"]: tuple(str(each[name]) for name in names) for each in map(json.loads, text.splitlines())}


def test_classify_tells_the_table_as_it_tells_the_file(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    done = table.run("classify", "--json", table.url)
    assert done.status == 0, done.stderr
    assert outcomes(done.stdout) == outcomes(run("classify", "--json", str(file)).stdout)


def test_pages_of_any_size_give_every_row_once_in_order(table: Table) -> None:
    decoder = RowDecoder(table.settings.column_name_aliases)
    for page in (1, 7, len(ROWS), 100_000):
        with DatabaseRows(table.settings, decoder, page=page) as rows:
            assert [row.id for row in rows.rows()] == [int(row["id"]) for row in ROWS]


def test_a_window_of_time_gives_the_calls_that_began_in_it_and_them_whole(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    window = ("--since", "2026-11-22 23:26:10", "--until", "2026-11-22 23:26:12")
    found = outcomes(table.run("classify", "--json", table.url, *window).stdout)
    assert found == outcomes(run("classify", "--json", str(file), *window).stdout)
    assert set(found) == {PICKED_UP, PICKER}
    everything = outcomes(table.run("classify", "--json", table.url).stdout)
    assert all(everything[linkedid] == outcome for linkedid, outcome in found.items())


def test_a_window_of_ids(table: Table) -> None:
    found = outcomes(table.run("classify", "--json", table.url, "--since", "670", "--until", "674").stdout)
    assert set(found) == {PICKED_UP, PICKER}


def test_the_first_id_of_a_time_is_found_by_halving(table: Table) -> None:
    with DatabaseRows(table.settings, RowDecoder(table.settings.column_name_aliases)) as rows:
        assert rows.first_id_since(0) <= int(ROWS[0]["id"])
        assert rows.first_id_since(1 << 60) == rows.highest_id() + 1


def test_a_comparison_reads_ids_and_channels_in_order_and_knows_the_primary_key(table: Table) -> None:
    settings = Settings(database=table.settings)
    with CelTable(settings) as cel:
        read = [(row_id, channel) for page in cel.pages(0, cel.highest_id()) for row_id, channel in page]
        assert read == [(int(row["id"]), row["uniqueid"]) for row in ROWS]
        some = [ROWS[3], ROWS[9]]
        named = cel.named([*(int(row["id"]) for row in some), 10**9])
        assert [row.linkedid for row in named] == [row["linkedid"] for row in some]
        assert cel.first_id_since(1 << 60) == cel.highest_id() + 1
        first = next(cel.named([int(ROWS[0]["id"])]))
        assert first.wall is not None and cel.first_id_since(first.wall) <= first.id
    aliased = settings.database.model_copy(
        update={"column_name_aliases": {**settings.database.column_name_aliases, "cel_id": "uniqueid"}}
    )
    with pytest.raises(UserError, match="uniqueid alone must be it"), CelTable(Settings(database=aliased)):
        pass


def test_explain_follows_the_channels_to_the_linked_call(table: Table) -> None:
    decoder = RowDecoder(table.settings.column_name_aliases)
    with DatabaseRows(table.settings, decoder) as rows:
        found = find_call(rows, PICKER)
    in_file = find_call(FileFinder([RECORDINGS], RowDecoder()), PICKER)
    assert {name: call.version for (_, name), call in found.calls.items()} == {
        name: call.version for (_, name), call in in_file.calls.items()
    }
    told = table.run("explain", PICKED_UP, table.url, "--linked").stdout
    assert "1002 picked up for 1001" in told
    assert f"Call pbx1/{PICKER}" in told


def test_nothing_can_be_written_through_it_whatever_the_user_may(table: Table) -> None:
    decoder = RowDecoder(table.settings.column_name_aliases)
    with pytest.raises(UserError, match=r"(?i)read.only"), DatabaseRows(table.settings, decoder) as rows:
        rows.run("DELETE FROM cel WHERE id > %s", [0])
    with DatabaseRows(table.settings, decoder) as rows:
        assert rows.highest_id() == int(ROWS[-1]["id"])


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"password_file": None, "password": "wrong"}, "refuses user reader: wrong password, or no such user"),
        ({"password_file": None}, "database.password is not set"),
        ({"port": 1}, "no database answers at"),
        ({"name": "nowhere"}, "nowhere"),
        ({"table": "nothing"}, "there is no table readings.nothing"),
        ({"column_name_aliases": {"cel_peer": "peers"}}, "has no column peers: check database.column_name_aliases"),
    ],
)
def test_each_mistake_is_one_message(table: Table, changed: dict[str, Any], problem: str) -> None:
    settings = DatabaseSettings.model_validate({**table.settings.model_dump(), **changed})
    with pytest.raises(UserError) as refused, DatabaseRows(settings, RowDecoder(settings.column_name_aliases)):
        pass
    assert problem in refused.value.problem
    assert PASSWORD not in str(refused.value)
    assert refused.value.remedy or "check" in refused.value.problem
