"""The reference of the records, made from their schemas: `python -m schemas.reference` writes docs/records.md anew.

Everything behind the mark on that page is made here; what stands before it is written by hand.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.source import Schema, load

MARK = "<!-- Made from schemas/*.avsc: python -m schemas.reference -->\n"

RECORDS = (
    "call_result", "call_leg", "complete_until", "delivery", "dead_letter", "dead_letter_resolution",
    "delivery_command", "portal_state",
)  # fmt: skip
"""The schemas, those that analysts read first."""

PERSONAL = {
    "number": "a telephone number or an extension",
    "name": "a person's name or login",
    "text": "words, or a name in the PBX, that may hold numbers or names",
    "record": "the bytes of another record, with all that it holds",
    "entry": "what a CRM or a file server calls an entry about somebody",
    "call": "names a call, by which rows of the PBX tell who took part",
    "hash": "a digest without a key over personal data: who knows the rest finds a number by trying all",
}
"""The values of a field's attribute `personal`: the kind of personal data that it holds. Without it, it holds none."""

COMPACTED = "the last record of each key stays, for good"
SETTING = "30 days by default (`kafka.retention_days`)"

KEPT = {
    "call_result": ("call-results", SETTING),
    "call_leg": ("call-legs", SETTING),
    "complete_until": ("complete-until", COMPACTED),
    "delivery": ("deliveries-<crm>", COMPACTED),
    "dead_letter": ("dead-letters", "365 days"),
    "dead_letter_resolution": ("dead-letter-resolutions", "365 days"),
    "delivery_command": ("delivery-commands", "7 days"),
    "portal_state": ("portal-states", COMPACTED),
}
"""Short name of the topic of a schema's records, and how long they stay there (connectors/topics.yaml declares it)."""

_UNITS = {"timestamp-micros": "time, UTC microseconds", "timestamp-millis": "time, UTC milliseconds"}


def reference() -> str:
    """The tables of every record, as Markdown."""
    return "\n".join(line for name in RECORDS for line in _record_lines(name, load(name)))


def page_with(reference_text: str, page: str) -> str:
    """The page with that reference behind its mark. Raises ValueError: the page has no mark."""
    by_hand, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"the page has no line {MARK.strip()!r}")
    return f"{by_hand}{mark}\n{reference_text}"


def records_of(schema: Schema) -> Iterator[Schema]:
    """The record of a schema and those within it, each once, in order."""
    yield schema
    for field in schema["fields"]:
        for part in _parts(field["type"]):
            if isinstance(part, dict) and part["type"] == "record":
                yield from records_of(part)


def _parts(kind: Any) -> list[Any]:
    """The types within a type: those of a union, and what an array or a map is of."""
    if isinstance(kind, list):
        return [part for branch in kind for part in _parts(branch)]
    if isinstance(kind, dict) and kind["type"] in ("array", "map"):
        return _parts(kind["items" if kind["type"] == "array" else "values"])
    return [kind]


def _record_lines(name: str, schema: Schema) -> Iterator[str]:
    for record in records_of(schema):
        whole = record is schema
        yield f"## `{name}`" if whole else f"### {record['name']}, within `{name}`"
        yield ""
        if "doc" in record:
            yield _escaped(record["doc"])
            yield ""
        if whole:
            topic, kept = KEPT[name]
            yield f"Topic `{topic}`; a record is kept: {kept}."
            yield ""
        yield "| field | type | personal | meaning |"
        yield "|---|---|---|---|"
        for field in record["fields"]:
            kind = field.get("personal", "")
            yield f"| `{field['name']}` | {_words(field['type'])} | {kind} | {_escaped(field['doc'])} |"
        yield ""


def _words(kind: Any) -> str:
    """A type in words."""
    if isinstance(kind, list):
        return " or ".join([*(_words(branch) for branch in kind if branch != "null"), "null"])
    if isinstance(kind, str):
        return kind
    if "logicalType" in kind:
        return _UNITS[kind["logicalType"]]
    if kind["type"] == "array":
        return f"array of {_words(kind['items'])}"
    if kind["type"] == "map":
        return f"map of {_words(kind['values'])}"
    return str(kind["name"])


def _escaped(words: str) -> str:
    """Words in which Markdown sees neither a tag nor the end of a cell."""
    return words.replace("<", "\\<").replace("|", "\\|")


def main() -> None:
    """Write the page anew."""
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/records.md")
    file.write_text(page_with(reference(), file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
