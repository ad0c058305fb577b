"""An erasure in a sink's database: older versions go once the new one has come, and what cannot be done is told."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from connectors.sinks.jdbc import erasure
from connectors.sinks.jdbc.erasure import NewVersion, erase_in, statements
from streams.errors import UserError
from streams.settings import SinkSettings

SINK = SinkSettings(engine="postgresql")
CALLS = {"pbx1/1.1": NewVersion(8, 100, has_legs=True), "pbx1/2.2": NewVersion(9, 100, has_legs=False)}


class Database:
    """Rows by table: call, version, correction."""

    def __init__(self, **tables: list[tuple[str, int, int]]) -> None:
        self.tables = {"call_results": [], "call_legs": [], **tables}
        self.blanked: list[tuple[Any, ...]] = []
        self.refuses = ""

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        if self.refuses and statement.startswith(self.refuses):
            raise UserError("permission denied for table call_results")
        if statement.startswith("update"):
            self.blanked.append(tuple(values))
            return []
        found = re.match(r"(select count\(\*\) as n|delete) from (\w+) where", statement)
        assert found, statement
        rows = self.tables[found[2]]
        call, version, *rest = values
        if len(values) == 3:
            fitting = [row for row in rows if row == (call, version, rest[0])]
        else:
            fitting = [row for row in rows if row[0] == call and row[1:] < (version, rest[1])]
        if found[1] == "delete":
            self.tables[found[2]] = [row for row in rows if row not in fitting]
        return [{"n": len(fitting)}]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(
        call_results=[
            ("pbx1/1.1", 7, 0), ("pbx1/1.1", 8, 0), ("pbx1/1.1", 8, 100), ("pbx1/2.2", 9, 0), ("pbx1/3.3", 1, 0),
        ],
        call_legs=[("pbx1/1.1", 8, 0), ("pbx1/1.1", 8, 0), ("pbx1/1.1", 8, 100)],
    )  # fmt: skip

    @contextmanager
    def connected(_: SinkSettings) -> Iterator[Any]:
        yield made.run

    monkeypatch.setattr(erasure, "connected", connected)
    return made


async def test_older_versions_go_once_the_new_one_is_there(database: Database) -> None:
    done = await erase_in(SINK, CALLS, [(3, 17)])
    assert (done.deleted, done.waiting, done.problem) == (4, 1, "")
    assert database.tables["call_results"] == [("pbx1/1.1", 8, 100), ("pbx1/2.2", 9, 0), ("pbx1/3.3", 1, 0)]
    assert database.tables["call_legs"] == [("pbx1/1.1", 8, 100)]
    assert database.blanked == [("[erased]", 3, 17)]
    assert any("pbx1/2.2" in each for each in done.statements), "its new version has not come"
    database.tables["call_results"].append(("pbx1/2.2", 9, 100))
    again = await erase_in(SINK, CALLS, [])
    assert (again.deleted, again.waiting, again.statements) == (1, 0, ())
    assert (await erase_in(SINK, CALLS, [])).deleted == 0


async def test_who_may_not_delete_is_told_the_statements(database: Database) -> None:
    database.refuses = "delete"
    done = await erase_in(SINK, CALLS, [(3, 17)])
    assert "permission denied" in done.problem and done.deleted == 0
    assert done.statements == tuple(statements(SINK, CALLS, [(3, 17)]))
    assert done.statements[0] == (
        "delete from call_results where call_id = 'pbx1/1.1' and (version < 8 or (version = 8 and correction < 100));"
    )
    assert done.statements[-1] == (
        "update dead_letters set explanation = '[erased]' where letter_partition = 3 and letter_offset = 17;"
    )


async def test_a_sink_without_these_tables_has_nothing_to_delete(database: Database) -> None:
    only = SinkSettings(engine="mariadb", parts=("deliveries",))
    assert list(statements(only, CALLS, [(3, 17)])) == []
    assert (await erase_in(only, CALLS, [(3, 17)])).deleted == 0


@pytest.mark.parametrize(
    ("engine", "quoted"),
    [("postgresql", r"'pbx1/\''; drop table x; --'"), ("mariadb", r"'pbx1/\\''; drop table x; --'")],
)
def test_a_hostile_id_stays_a_text(engine: Any, quoted: str) -> None:
    hostile = {"pbx1/\\'; drop table x; --": NewVersion(1, 2, has_legs=False)}
    (first, *_) = statements(SinkSettings(engine=engine), hostile, [])
    assert quoted in first


async def test_a_lake_is_told_and_not_touched(database: Database) -> None:
    lake = {"url": "https://catalog.example.org", "catalog": "rest"}
    sink = SinkSettings.model_validate({"engine": "iceberg", "lake": lake})
    done = await erase_in(sink, CALLS, [(3, 17)])
    assert done.deleted == 0 and "engine of your own" in done.problem and len(done.statements) == 3
    assert (await erase_in(sink, {}, [])).problem == ""
