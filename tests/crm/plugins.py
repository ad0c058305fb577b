"""Packages with CRMs, laid out as an installer does: the code, and a dist-info that names the entry point."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.crm.registry import GROUP

ROOT = Path(__file__).parents[2]
THIRD_CRM = ROOT / "tests" / "third_crm"
"""The example of CONTRIBUTING.md: a CRM as a package of its own."""


@dataclass(frozen=True)
class SitePackages:
    """A directory on the path of child processes, where packages are installed."""

    directory: Path

    def install(self, project: Path) -> None:
        """Install a project by its pyproject.toml. Without pip, which would need the network for its build backend."""
        declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        for package in declared["tool"]["setuptools"]["packages"]:
            shutil.copytree(project / package, self.directory / package)
        self.offer(declared["project"]["name"], declared["project"]["entry-points"][GROUP])

    def offer(self, package: str, entries: Mapping[str, str]) -> None:
        """Only the metadata of a package: `entries` are its CRMs."""
        info = self.directory / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def python_path(self) -> str:
        """PYTHONPATH of a process that sees these packages, and this product before what is installed."""
        return os.pathsep.join((str(self.directory), str(ROOT)))

    def run(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `cel2crm` where these packages are installed."""
        return subprocess.run(
            [sys.executable, "-m", "streams.cli.main", *arguments],
            env={**os.environ, "PYTHONPATH": self.python_path, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
