"""A Debian of its own that boots under systemd-nspawn: mmdebstrap makes it, nothing of it touches this system."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.deploy.server.versions import Version

ROOT = Path(__file__).parents[3]
Found = dict[str, Any]
PROGRAMS = ("mmdebstrap", "systemd-nspawn", "script")
_PACKAGES = "systemd,systemd-sysv,dbus,procps,python3,python3-venv,mariadb-server"
_UNIT = """\
[Unit]
After=mariadb.service
Wants=mariadb.service
[Service]
Type=oneshot
WorkingDirectory=/src
Environment=PYTHONPATH=/src PYTHONDONTWRITEBYTECODE=1
ExecStart=/opt/cel2crm/bin/python -m tests.deploy.server.inside {arguments}
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=file:/out/output
StandardError=file:/out/errors
[Install]
WantedBy=multi-user.target
"""


def make_root(folder: Path, versions: Mapping[Path, Version]) -> None:
    """A minimal Debian 12 with MariaDB, and each version, with the extra `server`, in its environment.

    Needs root and Debian's packages.
    """
    run(["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", folder])
    for environment, version in versions.items():
        wheels = folder / "wheels" / environment.name
        pip: list[str | Path] = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        run([*pip, "-d", wheels, "-c", version.constraints, f"{version.wheel}[server]"])
        run(["chroot", folder, "python3", "-m", "venv", environment])
        inside = f"/wheels/{environment.name}"
        install = [f"{environment}/bin/pip", "install", "-q", "--no-index", "--find-links", inside]
        run(["chroot", folder, *install, f"{inside}/{version.wheel.name}[server]"])


def boot(folder: Path, scenario: str, words: Sequence[str], binds: Sequence[Path], out: Path, seconds: int) -> Found:
    """Boot it with no network but loopback, run a scenario of inside.py as root in it, and wait until it is off.

    `binds`: folders of this system that it may read, below /jars. What it changes is forgotten, but for `out`,
    which is /out there. Returns what it found. Raises AssertionError where it failed.
    """
    arguments = " ".join([scenario, f"/out/{scenario}.json", *words])
    unit = folder / "etc/systemd/system/scenario.service"
    unit.write_text(_UNIT.format(arguments=arguments), encoding="utf-8")
    wanted = folder / "etc/systemd/system/multi-user.target.wants/scenario.service"
    wanted.parent.mkdir(exist_ok=True)
    wanted.unlink(missing_ok=True)
    wanted.symlink_to("/etc/systemd/system/scenario.service")
    nspawn = ["systemd-nspawn", "-b", "-D", folder, "--register=no", "--keep-unit", "--private-network"]
    nspawn += ["--volatile=overlay"]
    nspawn += [f"--bind-ro={ROOT}:/src", f"--bind={out}:/out"]
    nspawn += [f"--bind-ro={path}:/jars/{path.name}" for path in binds]
    line = " ".join(str(word) for word in nspawn)  # no word of it has a space
    # Without a terminal nspawn boots nothing to look at.
    run(["timeout", "-s", "TERM", str(seconds), "script", "-qec", line, out / f"{scenario}.console"])
    found: Found = json.loads((out / f"{scenario}.json").read_text(encoding="utf-8"))
    assert "failure" not in found, f"{found['failure']}\n{found['journal'][-4000:]}"
    return found


def missing() -> list[str]:
    """The programs that are not here."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def run(command: Sequence[str | Path]) -> None:
    """Run to the end. Raises AssertionError with the last lines."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
        umask=0o022,  # the tests' own would hide what is installed from the services' users
    )
    assert done.returncode == 0, (
        f"{command[:3]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
