"""Free ports: none is chosen twice by stacks that start side by side."""

import subprocess
import sys

import pytest

from deploy.local import ports

CHOOSER = """
import random, sys
from deploy.local import ports
random.seed(7)
print(ports.choose(["server"], {})["server"], flush=True)
sys.stdin.read()
"""


def chooser() -> "subprocess.Popen[str]":
    """A process that chooses a port by the same random numbers as any other one, and lives until its input ends."""
    command = [sys.executable, "-c", CHOOSER]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def port_of(process: "subprocess.Popen[str]") -> int:
    """The port that the process has chosen, as soon as it has."""
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="claims on ports are Linux's")
def test_a_port_that_a_living_process_chose_is_not_chosen_again() -> None:
    with chooser() as first:
        chosen = port_of(first)
        with chooser() as second:
            assert port_of(second) != chosen
    with chooser() as third:  # the first has ended
        assert port_of(third) == chosen


def test_one_process_chooses_no_port_twice() -> None:
    chosen = [ports.choose(["server"], {})["server"] for _ in range(20)]
    assert len(set(chosen)) == 20
