"""What an administrator does and looks at in the booted Debian: commands, units, the PBX's database, fake CRMs."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.demo.pipeline import write_settings
from deploy.local import Endpoints
from deploy.local.parts.registry import API
from deploy.local.supervision import ProcessId
from deploy.server.layout import Layout
from deploy.server.units import TARGET, unit

SOURCE = Path(__file__).parents[3]
LIMITS = {"bitrix24": ["--bucket-size", "800", "--drain-per-second", "400"], "kommo": ["--requests-per-second", "800"]}
DATABASE_PASSWORD = secrets.token_urlsafe(12)
ENVIRONMENT, FORMER = Path("/opt/cel2crm"), Path("/opt/cel2crm-former")
"""Where this tree is installed, and where the version before it is."""


def files_of_the_system() -> set[str]:
    """What an installer might leave: files of /etc, /opt, /usr/lib/systemd and the folders of /var/lib."""
    found: set[str] = set()
    for folder in ("/etc", "/opt", "/usr/lib/systemd", "/usr/local"):
        for directory, _, names in os.walk(folder):
            inside = Path(directory)
            if not inside.is_relative_to(ENVIRONMENT) and not inside.is_relative_to(FORMER):
                found |= {str(inside / name) for name in names}
    return found | {str(path) for path in Path("/var/lib").iterdir()}


def make_pbx_database() -> None:
    """FreePBX's table, with the binlog of README's step 3, and an account for the player."""
    Path("/etc/mysql/mariadb.conf.d/99-cel2crm.cnf").write_text(
        "[mysqld]\nlog_bin=binlog\nbinlog_format=ROW\nbinlog_row_image=FULL\nserver_id=1\n", encoding="utf-8"
    )
    shell(["systemctl", "restart", "mariadb"])
    shell(["mariadb"], given=(SOURCE / "deploy/local/freepbx_cel.sql").read_text(encoding="utf-8"))
    password = f"mysql_native_password using password('{DATABASE_PASSWORD}')"
    shell(["mariadb"], given=f"alter user root@localhost identified via unix_socket or {password};")


def write_settings_and_secrets(layout: Layout, portals: Mapping[str, dict[str, str]]) -> Path:
    """Settings with the fake CRMs, and secrets that the workers' user alone may read."""
    ports = layout.ports
    endpoints = Endpoints(
        bootstrap_servers=f"127.0.0.1:{ports['kafka']}",
        connect_url=f"http://127.0.0.1:{ports['connect']}",
        registry_url=f"http://127.0.0.1:{ports['registry']}{API}",
        mariadb_host="127.0.0.1",
        mariadb_port=3306,
        mariadb_socket=Path(),
        mariadb_root_password="",
        secrets_file=layout.connect_secrets / "secrets.properties",
        directory=layout.etc,
        supervisor=ProcessId(1, 0),
        logs={},
        pids={},
    )
    settings = write_settings(endpoints, dict(portals), layout.etc)
    files = [path for path in layout.etc.iterdir() if path.is_file()]
    shell(["chgrp", "cel2crm", *map(str, files)])
    shell(["chmod", "0640", *(str(path) for path in files if path.suffix in ("", ".yaml"))])
    return settings


def authorise(environment: Path, settings: Path, url: str) -> None:
    """Let the installed product into the fake Bitrix24 at `url`, as an administrator does."""
    request = urllib.request.Request(f"{url}/_fake/authorise", method="POST", data=b"{}")  # noqa: S310 (loopback)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        code: str = json.load(answer)["code"]
    file = Path("/run/bitrix24-code")
    file.touch(mode=0o600)
    file.write_text(code, encoding="utf-8")
    words = ["portal", "authorise", "bitrix24", "--code-file", str(file), "--settings", str(settings)]
    shell([str(environment / "bin/cel2crm"), *words])


def start_all(environment: Path, *servers: str) -> tuple[Path, dict[str, dict[str, str]]]:
    """docs/server.md from `install` to a running target; the settings, and what each fake CRM says of itself.

    `servers`: further words of `cel2crm-server install`.
    """
    make_pbx_database()
    server(environment, "install", *servers)
    shell(["mariadb"], given=Path("/etc/cel2crm/capture_user.sql").read_text(encoding="utf-8"))
    layout = Layout.of(Path("/"))
    assert layout is not None
    portals = {crm: fake_portal(crm) for crm in LIMITS}
    settings = write_settings_and_secrets(layout, portals)
    shell(["systemctl", "start", *(unit(name) for name in ("kafka", "registry", "connect", "apply"))])
    authorise(environment, settings, portals["bitrix24"]["url"])
    shell(["systemctl", "enable", "--now", TARGET])
    return settings, portals


def fake_portal(crm: str) -> dict[str, str]:
    """A fake CRM as a process; what it says of itself."""
    log = Path(f"/run/fake-{crm}.log")
    with log.open("w") as output:
        command = [sys.executable, "-m", "deploy.fake_crms", crm, "--state-dir", f"/run/fake-{crm}", *LIMITS[crm]]
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=SOURCE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                told: dict[str, str] = json.loads(line)
                return told
        time.sleep(0.1)
    raise AssertionError(f"the fake {crm} did not start: {log.read_text(encoding='utf-8')}")


def services() -> list[str]:
    """Those that have a unit, whichever version wrote it."""
    found = Path("/etc/systemd/system").glob("cel2crm-*.service")
    return sorted(path.stem.removeprefix("cel2crm-") for path in found)


def states() -> dict[str, str]:
    """The state of each unit."""
    return {name: shell(["systemctl", "is-active", unit(name)], check=False).strip() for name in services()}


def main_processes() -> dict[str, int]:
    """The process of each unit that runs on."""
    told = {name: shell(["systemctl", "show", "-p", "MainPID", "--value", unit(name)]).strip() for name in services()}
    return {name: int(pid) for name, pid in told.items() if pid not in ("", "0")}


def processes() -> list[str]:
    """Every process of the installation's users: who and what."""
    listed = shell(["ps", "-eo", "user:20,args"]).splitlines()
    return [line for line in listed if line.startswith("cel2crm")]


def resident_mb(pid: int) -> float:
    """Memory that a process holds now, in MB (1,000,000 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")


def exposure() -> dict[str, float]:
    """What systemd-analyze rates each running unit, 0 (best) to 10."""
    found = {}
    for name in services():
        told = shell(["systemd-analyze", "security", "--no-pager", unit(name)])
        found[name] = float(told.strip().splitlines()[-1].split(":")[1].split()[0])
    return found


def server(environment: Path, *words: str) -> str:
    """The command cel2crm-server of an environment; what it printed."""
    return shell([str(environment / "bin/cel2crm-server"), *words])


def shell(command: Sequence[str], given: str | None = None, *, check: bool = True) -> str:
    """Run a command as an administrator; what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=environment)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + ("" if check else done.stderr)
