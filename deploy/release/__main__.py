"""`python -m deploy.release [--out dist]`."""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from deploy.local.errors import StackError

ROOT = Path(__file__).parents[2]
TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")
SBOM = "cel2crm-{version}.cdx.json"
CHECKSUMS = "SHA256SUMS"


def main() -> int:
    """Exit status 0; 2 with one message where no release can be made."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="an empty or new folder (default: dist)")
    out: Path = parser.parse_args().out
    try:
        version = tagged_version(ROOT)
        require_empty(out)
        make(version, out)
    except StackError as error:
        print(f"{error.problem}\n  {error.remedy}", file=sys.stderr)
        return 2
    for file in sorted(out.iterdir()):
        print(file)
    return 0


def tagged_version(checkout: Path) -> str:
    """The version of the tag at this commit, of which nothing is changed. Raises StackError: there is none."""
    changed = _git(checkout, "status", "--porcelain")
    if changed:
        raise StackError(
            f"Files differ from the commit: {', '.join(line[3:] for line in changed[:3])}.", "Commit or remove them."
        )
    versions = [found[1] for tag in _git(checkout, "tag", "--points-at", "HEAD") if (found := TAG.fullmatch(tag))]
    if len(versions) != 1:
        raise StackError(
            f"{len(versions)} tags of versions stand at this commit: a release is made of one.",
            "git tag v0.2.0, with the date in CHANGELOG.md's heading of that version.",
        )
    heading = re.search(r"(?m)^## (\S+) \((.*)\)", (checkout / "CHANGELOG.md").read_text(encoding="utf-8"))
    if heading is None or heading[1] != versions[0] or heading[2] == "unreleased":
        raise StackError(
            f"CHANGELOG.md begins with {heading[0] if heading else 'no version'}, not with {versions[0]} and its date.",
            "Write the date into the heading, commit, and set the tag there.",
        )
    return versions[0]


def require_empty(out: Path) -> None:
    """Raises StackError where files of another release would be mixed in."""
    if out.exists() and any(out.iterdir()):
        raise StackError(f"{out} is not empty.", "Remove it, or name another folder with --out.")


def make(version: str, out: Path) -> None:
    """Build, install what was built into a new environment, list what is in it, and write the checksums.

    The archives bear the commit's time, so that who builds the same tag gets the same bytes of the wheel.
    """
    when = _git(ROOT, "log", "-1", "--format=%ct")[0]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": when}
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)], environment)
    wheel = out / f"cel2crm-{version}-py3-none-any.whl"
    if not wheel.is_file():
        raise StackError(
            f"{wheel.name} was not built: {', '.join(sorted(file.name for file in out.iterdir()))}.",
            "Its version comes from the tag by setup.py: is another tag nearer?",
        )
    with tempfile.TemporaryDirectory() as scratch:
        python = new_environment(Path(scratch), f"{wheel}[postgresql,export]")
        bom = out / SBOM.format(version=version)
        _run([sys.executable, "-m", "cyclonedx_py", "environment", "--of", "JSON", "-o", str(bom), str(python)])
    (out / CHECKSUMS).write_text(checksums(out), encoding="utf-8")


def new_environment(folder: Path, requirement: str) -> Path:
    """An environment with one requirement at the versions of constraints.txt; its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-c", str(ROOT / "constraints.txt"), requirement])
    return python


def checksums(folder: Path) -> str:
    """Lines for `sha256sum -c`, of all files but the checksums themselves."""
    files = sorted(file for file in folder.iterdir() if file.name != CHECKSUMS)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def _git(checkout: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"git {' '.join(words)} failed: {done.stderr.strip()}", "A release is made of a git checkout.")
    return done.stdout.splitlines()


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).splitlines()[-12:])
        raise StackError(f"{' '.join(command[1:3])} failed:\n{tail}", "Are the tools of deploy/tools.txt installed?")


if __name__ == "__main__":
    sys.exit(main())
