"""The short form of `make chaos`: the most telling faults on real servers."""

from pathlib import Path

import pytest

from tests.chaos.catalogue import SHORT
from tests.chaos.suite import Suite

pytestmark = pytest.mark.servers


@pytest.mark.timeout(420)
def test_nothing_is_lost_or_doubled_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    done = Suite("1", tmp_path / "results.jsonl", said.append).short(SHORT)
    assert [each.fault for each in done] == list(SHORT)
    failed = [each.fault for each in done if not each.passed]
    assert not failed, f"again: make chaos ONLY='{' '.join(failed)}'\n" + "\n".join(said)
    watcher = [ended for each in done for ended in each.services_ended if ended.startswith("watch")]
    assert not watcher, "the watcher ends only when told"
