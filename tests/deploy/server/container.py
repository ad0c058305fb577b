"""A Debian of its own that boots under systemd-nspawn: mmdebstrap makes it, nothing of it touches this system."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
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
ExecStart=/opt/cel2crm/bin/python -m {module} {arguments}
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=file:/out/output
StandardError=file:/out/errors
[Install]
WantedBy=multi-user.target
"""


def make_root(folder: Path, wheel: Path, extras: str, environments: Sequence[str]) -> None:
    """A minimal Debian 12 with MariaDB, and the wheel in each environment; needs root and Debian's packages."""
    run(["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", folder])
    wheels = folder / "wheels"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", wheels]
    run([*pip, "-c", ROOT / "constraints.txt", f"{wheel}[{extras}]"])
    for environment in environments:
        run(["chroot", folder, "python3", "-m", "venv", environment])
        install = [f"{environment}/bin/pip", "install", "-q", "--no-index", "--find-links", "/wheels"]
        run(["chroot", folder, *install, f"/wheels/{wheel.name}[{extras}]"])


def boot(
    folder: Path, module: str, arguments: Sequence[str], binds: Mapping[Path, str], out: Path, seconds: int
) -> None:
    """Boot it with no network but loopback, run a module of this tree as root in it, and wait until it is off.

    `binds`: folders of this system that it may read; `out` becomes /out. What it changes else is forgotten.
    """
    unit = folder / "etc/systemd/system/scenario.service"
    unit.write_text(_UNIT.format(module=module, arguments=" ".join(arguments)), encoding="utf-8")
    wanted = folder / "etc/systemd/system/multi-user.target.wants/scenario.service"
    wanted.parent.mkdir(exist_ok=True)
    wanted.unlink(missing_ok=True)
    wanted.symlink_to("/etc/systemd/system/scenario.service")
    nspawn = [
        "systemd-nspawn",
        "-b",
        "-D",
        folder,
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--volatile=overlay",
    ]
    nspawn += [f"--bind-ro={ROOT}:/src", f"--bind={out}:/out"]
    nspawn += [f"--bind-ro={path}:{inside}" for path, inside in binds.items()]
    line = " ".join(str(word) for word in nspawn)  # no word of it has a space
    # Without a terminal nspawn boots nothing to look at.
    run(["timeout", "-s", "TERM", str(seconds), "script", "-qec", line, out / "console"])


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
