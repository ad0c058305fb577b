"""Wheels of this tree and of a former commit, and the servers that each goes with."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FORMER_COMMIT = "45e388a4"
"""The first one whose cel2crm-server installs: other servers, heaps, schemas and topics than now."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version to install."""

    wheel: Path
    constraints: Path
    servers: Path
    """The folder of the servers' jars."""


class NoHistory(Exception):
    """The former commit is not here: a source archive, or a clone without history."""


def this_version(root: Path, scratch: Path) -> Version:
    """The tree as it stands."""
    tree = scratch / "tree"
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "*.egg-info"))
    try:
        return _built(tree, scratch, _version(root, "HEAD"))
    except NoHistory:
        return _built(tree, scratch, {})


def former_version(root: Path, scratch: Path) -> Version:
    """The tree of FORMER_COMMIT. Raises NoHistory."""
    version = _version(root, FORMER_COMMIT)
    tree = scratch / "tree"
    tree.mkdir(parents=True)
    archive = scratch / "tree.tar"
    _git(root, "archive", "-o", str(archive), FORMER_COMMIT)
    subprocess.run(["tar", "-x", "-f", str(archive), "-C", str(tree)], check=True)
    return _built(tree, scratch, version)


def _version(root: Path, commit: str) -> dict[str, str]:
    """What a copy without history has to be told. Raises NoHistory."""
    number, name = _git(root, "rev-list", "--count", commit), _git(root, "rev-parse", "--short", commit)
    return {"SETUPTOOLS_SCM_PRETEND_VERSION": f"0.2.0.dev{number}+g{name}"}


def _built(tree: Path, scratch: Path, version: dict[str, str]) -> Version:
    out = scratch / "wheel"
    environment = {**os.environ, "PYTHONPATH": str(tree), **version}
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(tree)]
    _run(build, tree, environment)
    (wheel,) = out.glob("*.whl")
    servers = _run([sys.executable, "-m", "deploy.local.download"], tree, environment).splitlines()[-1]
    return Version(wheel, tree / "constraints.txt", Path(servers))


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoHistory("git is not installed") from None
    if done.returncode:
        raise NoHistory(f"commit {FORMER_COMMIT} is not here: {done.stderr.strip()}")
    return done.stdout.strip()


def _run(command: list[str], tree: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
