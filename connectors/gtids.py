"""Which transactions a server's binlog has, by their GTIDs. Pure.

MariaDB lists the last of each domain (`0-1-1489,1-2-7`: domain, server, number), which stands for all before it. MySQL
lists a set, ranges of numbers by the server that wrote them, some under a tag
(`3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77:80:billing:1-3`).
"""

import re
from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]
"""First and last numbers, ascending, apart from each other."""


def gtid_ranges(gtids: str | None) -> dict[str, Ranges]:
    """The numbers by MariaDB's domain, or by MySQL's server and tag; empty: no transaction."""
    found: dict[str, list[tuple[int, int]]] = {}
    for part in re.sub(r"\s", "", gtids or "").split(","):
        if mariadb := re.fullmatch(r"(\d+)-\d+-(\d+)", part):
            found.setdefault(mariadb[1], []).append((1, int(mariadb[2])))
            continue
        server, *words = part.split(":")
        source = server
        for word in words:
            if numbers := re.fullmatch(r"(\d+)(?:-(\d+))?", word):
                found.setdefault(source, []).append((int(numbers[1]), int(numbers[2] or numbers[1])))
            else:
                source = f"{server}:{word}"
    return {source: _joined(ranges) for source, ranges in found.items()}


def contains(gtids: str | None, others: str | None) -> bool:
    """Whether each transaction of `others` is one of `gtids`."""
    present = gtid_ranges(gtids)
    return all(_covered(present.get(source, ()), ranges) for source, ranges in gtid_ranges(others).items())


def same_gtids(one: str | None, other: str | None) -> bool:
    """Whether both are the same transactions, however they are written."""
    return gtid_ranges(one) == gtid_ranges(other)


def _covered(present: Ranges, wanted: Ranges) -> bool:
    return all(any(first <= low and high <= last for first, last in present) for low, high in wanted)


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def gtid_text(gtids: str) -> str:
    """The GTIDs for a person, on one line."""
    return re.sub(r"\s+", "", gtids) or "(none)"
