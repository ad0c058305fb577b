"""docs/metrics.md has every metric with its type and labels, and no other."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from tests.docs.pages import ROOT, code, rows

KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
PREFIX = "cel2crm_"


class Metric(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]


def metrics_in(source: str) -> Iterator[Metric]:
    """Every metric that a module makes, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        kind = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if kind not in KINDS or not node.args:
            continue
        name, *others = (ast.literal_eval(argument) for argument in node.args if constant(argument))
        if isinstance(name, str) and name.startswith(PREFIX):
            named = [ast.literal_eval(each.value) for each in node.keywords if each.arg == "labelnames"]
            yield Metric(name, kind.lower(), tuple((named or others[1:2] or [()])[0]))


def constant(node: ast.AST) -> bool:
    return not any(isinstance(each, ast.Name | ast.Call | ast.JoinedStr) for each in ast.walk(node))


def made() -> list[Metric]:
    files = [path for package in ("streams", "connectors", "schemas") for path in (ROOT / package).rglob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in files]
    return [metric for source in sources if "prometheus_client" in source for metric in metrics_in(source)]


def told() -> list[Metric]:
    page = [cells for cells in rows("metrics.md") if len(cells) == 4]
    return [Metric(code(name), kind, tuple(labels.replace("`", "").split(", ") if labels else ())) for
            name, kind, labels, _ in page]  # fmt: skip


def test_every_metric_is_on_the_page_as_it_is_made_and_no_other() -> None:
    assert len(made()) >= 19
    assert sorted(told()) == sorted(made()), "bring docs/metrics.md up to the code"


def test_metrics_are_found_however_they_are_made() -> None:
    source = 'a = Counter("cel2crm_a", "words")\nb = prom.Gauge("cel2crm_b", "words", labelnames=("x", "y"))\n'
    assert list(metrics_in(source)) == [Metric("cel2crm_a", "counter", ()), Metric("cel2crm_b", "gauge", ("x", "y"))]
