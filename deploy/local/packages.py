"""System packages that the stack needs: installed with apt where this may be done, else named."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping

from deploy.local.errors import StackError
from deploy.local.parts.mariadb import executable

# A program each, and the Debian packages that bring it. The core packages of MariaDB start no system service,
# as mariadb-server would on being installed; mariadb-install-db needs a program of the client's package.
MAVEN = {"mvn": ("maven",)}
MARIADB = {
    "mariadbd": ("mariadb-server-core",),
    "mariadb-install-db": ("mariadb-server-core",),
    "my_print_defaults": ("mariadb-client",),
}
_APT_OPTIONS = ("-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "-q")
_LOG_LINES = 15


def missing(programs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The packages to install for those programs that are not there, in alphabetical order."""
    absent = [packages for program, packages in programs.items() if shutil.which(executable(program)) is None]
    return sorted({package for packages in absent for package in packages})


def ensure(programs: Mapping[str, tuple[str, ...]], say: Callable[[str], None]) -> None:
    """Install what is missing. Raises StackError with the command to run if that may not be done or fails."""
    packages = missing(programs)
    if not packages:
        return
    command = f"apt-get update && apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        programs_missing = ", ".join(program for program in programs if shutil.which(executable(program)) is None)
        raise StackError(
            f"These programs are missing: {programs_missing}.",
            f"Install them with this system's package manager (Debian's packages: {', '.join(packages)}).",
        )
    if os.geteuid() != 0:
        raise StackError(f"These system packages are missing: {', '.join(packages)}.", f"As root: {command}")
    say(f"installing system packages: {', '.join(packages)}")
    _apt(("update",), command)
    _apt(("install", *packages), command)
    still_missing = missing(programs)
    if still_missing:
        raise StackError(
            f"Installed, but their programs are still not found: {', '.join(still_missing)}.",
            "Is /usr/sbin or /usr/bin shadowed? Look at what apt installed with dpkg -L PACKAGE.",
        )


def _apt(words: Iterable[str], command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", *_APT_OPTIONS, *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-_LOG_LINES:])
        raise StackError(f"apt-get could not install what is missing:\n{tail}", f"Mend it and run: {command}")
