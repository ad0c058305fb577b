"""Files read in shares: each share counts what it read, and what a table cannot tell is no crash."""

from pathlib import Path

import pytest

from streams.errors import UserError
from streams.rows.files import RowSource
from streams.rows.row import RowDecoder


def test_a_share_counts_the_bytes_of_all_lines(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [
        f'{{"id":{number},"eventtype":"DTMF","eventtime":"2026-11-22 10:00:00","linkedid":"1.{number}"}}\n'
        for number in range(50)
    ]
    file.write_text("".join(lines))
    read: list[int] = []
    reasons: list[str] = []
    rows = []
    for share in range(2):
        source = RowSource(RowDecoder(), lambda line: reasons.append(line.reason), read.append, (share, 2))
        rows.append(len(list(source.rows(file))))
    assert reasons == []
    assert sum(rows) == 50 and all(rows)
    assert read == [file.stat().st_size] * 2


def test_a_table_without_the_column_that_an_alias_names_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,eventtype,eventtime,linkedid\n1,DTMF,2026-11-22 10:00:00,1.1\n")
    source = RowSource(RowDecoder({"cel_linkedid": "call"}), lambda _line: None)
    with pytest.raises(UserError, match="names no column call"):
        list(source.rows(file))
