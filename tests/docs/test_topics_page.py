"""docs/topics.md has every topic as connectors/topics.yaml declares it, and no other."""

import re

import pytest

import schemas
from connectors.topics import MILLISECONDS_A_DAY, Topic, declared_topics
from streams.settings import Settings
from tests.docs.pages import code, rows

PREFIX, PBX = "prefix", "office"
PARTITIONS, DAYS = 7, 11
SETTINGS = Settings.model_validate(
    {
        "pbx": {"name": PBX},
        "kafka": {"topic_prefix": PREFIX, "partitions": PARTITIONS, "retention_days": DAYS},
        "privacy": {"hashed_topic": True, "hash_key_file": "/there/is/none"},
    }
)
PAGE = {code(cells[0]): cells for cells in rows("topics.md")}
DECLARED = {topic.name.removeprefix(f"{PREFIX}."): topic for topic in declared_topics(SETTINGS)}


def lines_of(name: str) -> list[str]:
    """The page's lines that a topic answers to: `<crm>` and `<pbx>` stand for a name."""
    return [line for line in PAGE if re.fullmatch(re.sub(r"<\w+>", "[a-z0-9_-]+", re.escape(line)), name)]


def shown(topic: Topic) -> tuple[str, str, str]:
    """Partitions, cleanup and retention in the page's words."""
    partitions = "`kafka.partitions`" if topic.partitions == PARTITIONS else str(topic.partitions)
    cleanup = topic.config["cleanup.policy"]
    if cleanup == "compact":
        return partitions, cleanup, ""
    days = int(topic.config["retention.ms"]) / MILLISECONDS_A_DAY
    if days < 0:
        return partitions, cleanup, "forever"
    return partitions, cleanup, "`kafka.retention_days`" if days == DAYS else f"{days:g} day{'s' if days > 1 else ''}"


@pytest.mark.parametrize("name", DECLARED)
def test_every_topic_stands_on_the_page_as_declared(name: str) -> None:
    lines = lines_of(name)
    assert len(lines) == 1, f"put {name} into docs/topics.md, once"
    _, _, *told = PAGE[lines[0]][:5]
    assert tuple(told) == shown(DECLARED[name])


def test_no_topic_stands_on_the_page_that_is_not_declared() -> None:
    assert {line for name in DECLARED for line in lines_of(name)} == PAGE.keys()


def test_schemas_of_the_page_are_those_of_the_product() -> None:
    told = {code(cells[5]) for cells in PAGE.values() if cells[5].startswith("`")}
    assert told == set(schemas.names())


def test_everything_has_a_writer_and_a_reader() -> None:
    assert not [name for name, cells in PAGE.items() if len(cells) != 8 or not (cells[1] and cells[6] and cells[7])]
