"""Exports after an erasure: no file holds the number, of days that no topic holds any more either."""

import json
from pathlib import Path

import duckdb
import pytest

from streams.analysis import erased_days
from streams.analysis.day_files import LEGS, RESULTS
from tests.erasure.conftest import Installation, of_another
from tests.erasure.test_erase import NUMBER, erased
from tests.privacy.examples import CLIENT, leg


def told(directory: Path, kind: str, columns: str = "*") -> list[tuple[object, ...]]:
    files = f"'{directory}/{kind}/*/*.parquet'"
    with duckdb.connect() as database:
        query = f"select {columns} from read_parquet({files}) order by all"  # noqa: S608 - a directory of ours
        return database.execute(query).fetchall()


def holds_it(directory: Path) -> bool:
    return "9161234567" in str([told(directory, kind) for kind in (RESULTS, LEGS)])


def test_a_later_export_is_without_it(operator: Installation, tmp_path: Path) -> None:
    operator.told("export", "--to", str(tmp_path))
    before = len(told(tmp_path, RESULTS)), len(told(tmp_path, LEGS))
    assert holds_it(tmp_path)
    erased(operator)
    operator.told("export", "--to", str(tmp_path))
    assert not holds_it(tmp_path)
    assert (len(told(tmp_path, RESULTS)), len(told(tmp_path, LEGS))) == before


def test_days_that_the_topic_no_longer_holds_are_blanked_too(
    operator: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.told("export", "--to", str(tmp_path))
    erased(operator)
    for place in list(operator.topics.logs):
        if place[0].endswith(("call-results", "call-legs")):
            operator.topics.logs[place] = []
    operator.told("export", "--to", str(tmp_path))
    assert not holds_it(tmp_path)
    assert told(tmp_path, RESULTS, "origin") == [("erasure",), ("erasure",), ("live",)]
    files = {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*.parquet")}

    def unread(*_: object) -> None:
        raise AssertionError("files are looked at once after each erasure")

    monkeypatch.setattr(erased_days, "rows_of", unread)
    operator.told("export", "--to", str(tmp_path))
    assert {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*.parquet")} == files


def test_an_erasure_that_was_cut_off_is_obeyed_already(operator: Installation, tmp_path: Path) -> None:
    operator.stop_after = 1
    assert operator.run("erase", NUMBER, "--yes", "--by", "ann").exit_code != 0
    operator.stop_after = None
    assert [each for each, _ in operator.truth().values() if each.client == CLIENT], "the hash alone was made known"
    operator.call(of_another(9), leg("89161234567", "Local/89161234567@x;1"))
    operator.told("export", "--to", str(tmp_path))
    assert not holds_it(tmp_path)


@pytest.mark.parametrize("tree", [{"privacy": {}}])
def test_without_the_key_nothing_is_exported(operator: Installation, tmp_path: Path) -> None:
    operator.topics.logs.clear()
    value = json.dumps({"erased_at": 1, "until": 1 << 60, "key": "k", "by": "ann"}).encode()
    operator.put_raw("erased-numbers", b"h", value)
    done = operator.run("export", "--to", str(tmp_path))
    assert "without the key of their hashes" in str(done.exception)
