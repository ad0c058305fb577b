"""Wheel and sdist, built of a tag, work in an environment of their own, outside any checkout."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VERSION = "9.8.7"
NOT_SHIPPED = (
    "tests/",
    "deploy/demo/",
    "deploy/fake_crms/",
    "deploy/release/",
    "deploy/grafana/__",
    "deploy/grafana/d",
    "deploy/grafana/m",
)


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(checkout: Path, *words: str) -> None:
    run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words], checkout)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as a repository with one commit, which has a tag."""
    copy = tmp_path_factory.mktemp("tree") / "cel2crm"
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    changelog = copy / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(text.replace("# Changelog\n", f"# Changelog\n\n## {VERSION} (2026-11-29)\n", 1), "utf-8")
    git(copy, "init", "-q", "-b", "main")
    git(copy, "add", "-A")
    git(copy, "commit", "-q", "-m", "Release")
    git(copy, "tag", f"v{VERSION}")
    return copy


@pytest.fixture(scope="module")
def release(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make release` fills."""
    out = tmp_path_factory.mktemp("release") / "dist"
    run([sys.executable, "-m", "deploy.release", "--out", out], checkout, PYTHONPATH=_tools(checkout))
    return out


def _tools(checkout: Path) -> str:
    """The checkout first: what is run there must not be this tree's."""
    return os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


@pytest.fixture(scope="module")
def installed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", folder], folder)
    (wheel,) = release.glob("*.whl")
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt"]
    run([*pip, f"{wheel}[postgresql]"], folder, PYTHONPATH="")
    return folder / "bin"


def test_the_release_is_whole(release: Path) -> None:
    names = {file.name for file in release.iterdir()}
    wheel = f"cel2crm-{VERSION}-py3-none-any.whl"
    assert names == {wheel, f"cel2crm-{VERSION}.tar.gz", f"cel2crm-{VERSION}.cdx.json", "SHA256SUMS"}
    lines = (release / "SHA256SUMS").read_text("utf-8").splitlines()
    told = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(told) == names - {"SHA256SUMS"}
    assert all(hashlib.sha256((release / name).read_bytes()).hexdigest() == digest for name, digest in told.items())
    bom = json.loads((release / f"cel2crm-{VERSION}.cdx.json").read_bytes())
    parts = {part["name"]: part["version"] for part in bom["components"]}
    assert parts["cel2crm"] == VERSION
    assert parts["faust-streaming"] == "0.15.3"


def test_the_wheel_holds_every_file_of_the_product_and_nothing_of_tests_or_demo(release: Path) -> None:
    (wheel,) = release.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "streams", "connectors", "schemas", "deploy"],
        ROOT,
    ).splitlines()
    wanted = {name for name in tracked if not name.startswith(NOT_SHIPPED) and (ROOT / name).is_file()}
    left_out = {"deploy/tools.txt", "deploy/local/freepbx_cel.sql", "deploy/local/install-venv.sh"}
    assert wanted - packed - left_out == set()
    assert packed - wanted == set()


def test_the_wheel_is_built_the_same_again(checkout: Path, release: Path, tmp_path: Path) -> None:
    run([sys.executable, "-m", "deploy.release", "--out", tmp_path / "again"], checkout, PYTHONPATH=_tools(checkout))
    (wheel,) = release.glob("*.whl")
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_installed_product_works(installed: Path, tmp_path: Path) -> None:
    cel2crm = installed / "cel2crm"
    assert run([cel2crm, "--version"], tmp_path, PYTHONPATH="") == f"cel2crm {VERSION}\n"
    assert "replay" in run([cel2crm, "--help"], tmp_path, PYTHONPATH="")
    assert "Subscriber is busy" in run([cel2crm, "rules", "show", "results"], tmp_path, PYTHONPATH="")
    sample = tmp_path / "rows.jsonl"
    case = json.loads((ROOT / "deploy/demo/recordings/calls.jsonl").read_text("utf-8").splitlines()[0])
    sample.write_text("".join(json.dumps(row) + "\n" for row in case["cel"]), "utf-8")
    told = run([cel2crm, "classify", "--json", sample], tmp_path, PYTHONPATH="").splitlines()
    assert {json.loads(line)["linkedid"] for line in told} == {row["linkedid"] for row in case["cel"]}
    run([installed / "python", "-c", "import psycopg"], tmp_path, PYTHONPATH="")


def test_the_installed_files_are_listed_printed_and_copied(installed: Path, tmp_path: Path) -> None:
    cel2crm = installed / "cel2crm"
    printed = run([cel2crm, "files", "print", "connectors/mariadb/capture_user.sql"], tmp_path, PYTHONPATH="")
    assert printed == (ROOT / "connectors/mariadb/capture_user.sql").read_text("utf-8")
    copied = run([cel2crm, "files", "copy", "--to", tmp_path / "all"], tmp_path, PYTHONPATH="").splitlines()
    listed = run([cel2crm, "files", "list", "--json"], tmp_path, PYTHONPATH="").splitlines()
    assert len(copied) == len(listed) > 20
    assert (tmp_path / "all/deploy/samples/cel2crm.yaml").is_file()


def test_after_the_tag_comes_a_development_version(checkout: Path, release: Path, tmp_path: Path) -> None:
    copy = tmp_path / "later"
    run(["git", "clone", "-q", checkout, copy], tmp_path)
    git(copy, "commit", "-q", "--allow-empty", "-m", "Later")
    assert run([sys.executable, "setup.py", "-q", "--version"], copy).startswith("9.8.8.dev1+g")
    git(copy, "tag", "-d", f"v{VERSION}")
    assert run([sys.executable, "setup.py", "-q", "--version"], copy).startswith(f"{VERSION}.dev2+g")


def test_no_release_of_what_has_no_tag_or_is_changed(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other"
    run(["git", "clone", "-q", checkout, copy], tmp_path)
    (copy / "README.md").write_text("changed", encoding="utf-8")
    command = [sys.executable, "-m", "deploy.release", "--out", str(tmp_path / "dist")]
    environment = {**os.environ, "PYTHONPATH": _tools(copy)}
    refused = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (2, "Files differ from the commit: README.md.")
    git(copy, "commit", "-q", "-a", "-m", "Later")
    refused = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "0 tags of versions" in refused.stderr
    assert not (tmp_path / "dist").exists()
