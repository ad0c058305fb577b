"""The version, which pyproject.toml cannot say: that of the newest tag `vX.Y.Z`, else what CHANGELOG.md is writing."""

import re
from pathlib import Path

from setuptools import setup
from setuptools_scm.version import ScmVersion, guess_next_dev_version

CHANGELOG = Path(__file__).with_name("CHANGELOG.md")


def coming() -> str:
    """The version of the changelog's first heading. Raises ValueError where it has none."""
    heading = re.search(r"(?m)^## (\d+\.\d+\.\d+)", CHANGELOG.read_text(encoding="utf-8"))
    if heading is None:
        raise ValueError(f"{CHANGELOG} has no heading such as '## 0.2.0 (unreleased)'")
    return heading[1]


def version_scheme(found: ScmVersion) -> str:
    """At a tag the tag; after it, or before there is any, a development version of what comes."""
    if found.exact:
        return str(found.format_with("{tag}"))
    if str(found.tag) in ("0", "0.0", "0.1.dev0") or found.preformatted:
        return f"{coming()}.dev{found.distance or 0}"
    return str(guess_next_dev_version(found))


setup(use_scm_version={"version_scheme": version_scheme, "fallback_version": f"{coming()}.dev0"})
