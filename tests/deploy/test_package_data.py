"""Every file that is no code and that the product reads or shows is named in pyproject.toml: else no wheel has it."""

import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from streams.operations.shipped_files import shipped_files

ROOT = Path(__file__).parents[2]
DATA: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
    "package-data"
]
OF_CHECKOUTS_ALONE = ("deploy/demo/", "deploy/fake_crms/", "deploy/tools.txt", "deploy/local/install-venv.sh")


def tracked() -> list[str]:
    command = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "streams",
        "connectors",
        "schemas",
        "deploy",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def is_packed(name: str) -> bool:
    """Whether a pattern of the package that the file lies in, or of one around it, fits."""
    path = PurePosixPath(name)
    for folder in path.parents:
        if (ROOT / folder / "__init__.py").is_file():
            package = str(folder).replace("/", ".")
            inside = str(path.relative_to(folder))
            if any(fnmatch(inside, pattern) for pattern in DATA.get(package, [])):
                return True
            if "/" not in inside and any(fnmatch(inside, pattern) for pattern in DATA["*"]):
                return True
    return False


def test_no_file_is_left_out_of_the_wheel() -> None:
    files = [name for name in tracked() if not name.endswith(".py") and not name.startswith(OF_CHECKOUTS_ALONE)]
    assert len(files) > 60
    assert [name for name in files if not is_packed(name)] == []


def test_what_cel2crm_files_shows_is_in_the_wheel() -> None:
    assert [file.name for file in shipped_files() if not is_packed(file.name)] == []


def test_a_file_that_no_pattern_fits_is_found() -> None:
    assert not is_packed("streams/rules/results.toml")
    assert not is_packed("deploy/local/freepbx.txt")
