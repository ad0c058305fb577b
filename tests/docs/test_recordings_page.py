"""The settings that docs/recordings.md shows can be used as they stand there."""

import re
import textwrap

import yaml

from streams.settings import RecordingSettings
from tests.docs.pages import DOCS

PAGE = (DOCS / "recordings.md").read_text(encoding="utf-8")


def test_every_example_can_be_used() -> None:
    blocks = re.findall(r"(?m)^    recordings:\n(?:^      .*\n)+", PAGE)
    assert len(blocks) == 3
    for block in blocks:
        (entry,) = yaml.safe_load(textwrap.dedent(block))["recordings"]
        RecordingSettings.model_validate(entry)
