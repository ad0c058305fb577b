"""A PBX more in the settings file: what stands there stays, comments included, and the result is what is meant."""

from typing import Any

import pytest
import yaml

from streams.errors import UserError
from streams.operations.pbx_listing import with_pbx
from streams.settings import Settings

BRANCH = {
    "name": "branch",
    "timezone": "Asia/Almaty",
    "database": {"engine": "postgresql", "host": "10.8.0.5", "password_file": "/etc/cel2crm/branch"},
    "numbers": {"region": "KZ", "trunks": ["kt-*"]},
}

SHORT = """\
# our installation
pbx: {name: office, timezone: Europe/Moscow}
database:
  host: 10.0.0.5        # the PBX itself
  password_file: /etc/cel2crm/office

kafka: {bootstrap_servers: "k:9092"}   # one broker
numbers:
  trunks: [sipnet]
"""

LISTED = """\
kafka: {bootstrap_servers: "k:9092"}
pbxs:
  # the head office
  - name: office
    database: {host: 10.0.0.5}
  - name: south   # since May
    database:
      host: 10.0.0.6

# what follows is of everybody
numbers: {trunks: [sipnet]}
"""


def settings(text: str) -> Settings:
    return Settings.model_validate(yaml.safe_load(text))


def test_the_short_form_becomes_the_list_and_the_rest_stays() -> None:
    made = with_pbx(SHORT, BRANCH)
    loaded = settings(made)
    assert loaded.pbx_names == ("office", "branch")
    office, branch = loaded.each_pbx()
    assert (office.database.host, office.pbx.timezone, office.numbers.trunks) == (
        "10.0.0.5",
        "Europe/Moscow",
        ("sipnet",),
    )
    assert (branch.database.port, branch.numbers.trunks) == (5432, ("kt-*",))
    assert "# our installation" in made and "# one broker" in made
    assert settings(SHORT).kafka == loaded.kafka


def test_an_item_is_added_to_the_list_and_nothing_else_changes() -> None:
    made = with_pbx(LISTED, BRANCH)
    assert settings(made).pbx_names == ("office", "south", "branch")
    added = [line for line in made.splitlines() if line not in LISTED.splitlines()]
    assert made.replace("".join(f"{line}\n" for line in added), "") == LISTED
    assert made.index("branch") < made.index("# what follows")


@pytest.mark.parametrize(
    "text",
    [
        "pbxs:\n- name: office\n- name: south",  # hyphens at the margin, no end of line
        "pbxs:\n    - name: office\n\n",
        "",
        "kafka: {topic_prefix: acme}",
    ],
)
def test_other_ways_to_write_it_are_read(text: str) -> None:
    loaded = settings(with_pbx(text, BRANCH))
    assert loaded.pbx_names[-1] == "branch" and len(loaded.pbx_names) == max(1, text.count("name:")) + 1


@pytest.mark.parametrize(
    ("text", "item", "words"),
    [
        (LISTED, {**BRANCH, "name": "south"}, "PBX south is in the settings already"),
        (SHORT, {**BRANCH, "name": "office"}, "PBX office is in the settings already"),
        ("", {**BRANCH, "name": "pbx1"}, "PBX pbx1 is in the settings already"),
        ("pbxs: [{name: a}]", BRANCH, "not written as a list of lines"),
        (SHORT + "other_pbxs: [{name: west}]", BRANCH, "other_pbxs names west without a database"),
        ("- a", BRANCH, "holds no sections"),
    ],
)
def test_what_cannot_be_added_to_is_told(text: str, item: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        with_pbx(text, item)
