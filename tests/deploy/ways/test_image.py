"""The image, built twice on a Debian made on the spot: the same both times, and its commands run as nobody."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_MEGABYTES = 420
"""With Debian and Python; vfs counts files as they are."""

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("buildah") or not shutil.which("mmdebstrap"),
        reason="wants root, and apt-get install buildah mmdebstrap",
    ),
    pytest.mark.timeout(1200),
]


class Builder:
    """buildah with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._options = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self.program = folder / "buildah"
        self.program.write_text(f'#!/bin/sh\nexec buildah {" ".join(self._options)} "$@"\n', encoding="utf-8")
        self.program.chmod(0o755)

    def __call__(self, *words: str | Path, check: bool = True) -> str:
        return run([self.program, *words], check=check)


def run(command: Sequence[str | Path], *, check: bool = True, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", **environment,
        },
    )  # fmt: skip
    assert done.returncode == 0 or not check, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout + ("" if check else done.stderr)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """With a base image that stands for debian:12-slim."""
    folder = tmp_path_factory.mktemp("images")
    base = folder / "debian.tar"
    run(["mmdebstrap", "--variant=minbase", "bookworm", base])
    made = Builder(folder)
    container = made("from", "scratch").strip()
    made("add", "-q", container, base)
    made("commit", "-q", "--timestamp", "0", "--rm", container, "localhost/debian:12")
    yield made
    made("rm", "--all", check=False)


@pytest.fixture(scope="module")
def images(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The identifiers of two builds."""
    wheels = tmp_path_factory.mktemp("wheel")
    python = sys.executable
    run([python, "-m", "build", "--no-isolation", "--wheel", "--outdir", wheels, ROOT])
    (wheel,) = wheels.iterdir()
    found = []
    for number in (1, 2):
        run(
            [ROOT / "deploy/image/build.sh", wheel, f"localhost/cel2crm:{number}", "--no-cache", "--build-arg",
             "BASE=localhost/debian:12"],
            BUILDER=str(builder.program), SOURCE_DATE_EPOCH="1700000000", PYTHON=python,
        )  # fmt: skip
        found.append(builder("images", "-q", "--no-trunc", f"localhost/cel2crm:{number}").strip())
    return found[0], found[1]


@pytest.fixture(scope="module")
def container(builder: Builder, images: tuple[str, str]) -> str:
    return builder("from", images[0]).strip()


def test_it_is_the_same_when_built_again(images: tuple[str, str]) -> None:
    assert images[0] == images[1]


def test_it_runs_as_nobody_by_default(builder: Builder, images: tuple[str, str]) -> None:
    config = builder(
        "inspect", "--type", "image", "--format", "{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}", images[0]
    )
    assert config.split() == ["10001:10001", "[cel2crm]"]


def test_its_commands_run_and_it_has_no_setuid_program_of_ours(builder: Builder, container: str) -> None:
    assert re.match(r"cel2crm \d", builder("run", container, "cel2crm", "--version"))
    assert "Subscriber is busy" in builder(
        "run", container, "env", "-u", "CEL2CRM_SETTINGS", "cel2crm", "rules", "show", "results"
    )
    builder("run", container, "python", "-c", "import psycopg, faust, os; assert os.getuid() == 10001")
    assert builder("run", container, "find", "/opt/cel2crm", "-perm", "/6000") == ""
    assert builder("run", container, "find", "/opt/cel2crm", "-writable", "-not", "-type", "l") == ""


def test_it_is_small_and_holds_no_builder(builder: Builder, container: str) -> None:
    size = int(builder("run", container, "du", "-smx", "--exclude=/proc", "--exclude=/sys", "/").split()[0])
    assert size < MOST_MEGABYTES
    assert "no pip" in builder("run", container, "sh", "-c", "python -m pip --version 2>/dev/null || echo no pip")
