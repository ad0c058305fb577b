"""Twenty minutes and a Debian of its own: `make test-server-install` alone asks for it."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.server.container import ROOT, Found, boot, make_root, missing
from tests.deploy.server.machine import ENVIRONMENT, FORMER
from tests.deploy.server.versions import NoHistory, Version, former_version, this_version

collect_ignore_glob = [] if os.environ.get("SERVER_INSTALL") else ["test_*.py"]
SECONDS = 1200
"""After that the machine is turned off, whatever goes on."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A Debian with this version installed in an environment, and with the version before it where git has that."""

    folder: Path
    out: Path
    this: Version
    former: Version | None
    why_no_former: str

    def boot(self, scenario: str, *words: str) -> Found:
        """A scenario of inside.py on a fresh copy; what it found."""
        versions = [version for version in (self.former, self.this) if version]
        servers = list(dict.fromkeys(version.servers for version in versions))
        return boot(self.folder, scenario, words, servers, self.out, SECONDS)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Made once for all scenarios: each boots it as if it were new."""
    if os.geteuid() != 0 or missing():
        pytest.skip(f"wants root, and apt-get install {' '.join(missing())} (systemd-container for systemd-nspawn)")
    folder = tmp_path_factory.mktemp("server")
    versions = {ENVIRONMENT: this_version(ROOT, folder / "this")}
    why = ""
    try:
        versions[FORMER] = former_version(ROOT, folder / "former")
    except NoHistory as error:
        why = str(error)
    make_root(folder / "root", versions)
    (out := folder / "out").mkdir()
    return Machine(folder / "root", out, versions[ENVIRONMENT], versions.get(FORMER), why)
