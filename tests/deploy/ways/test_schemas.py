"""The composition against the Compose specification, and the Containerfile by hadolint."""

import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).parents[3] / "deploy"


def test_the_composition_fits_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(DEPLOY / "compose/compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing_in_the_containerfile() -> None:
    program = Path(sys.executable).with_name("hadolint")
    command = [str(program) if program.exists() else "hadolint", str(DEPLOY / "image/Containerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
