"""In a booted Debian with MariaDB and the wheel in /opt/cel2crm: install, connect, play calls, upgrade, uninstall.

python -m tests.deploy.server.inside JARS REPORT: the folder of jars, and the file for what was found (JSON).
"""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.demo.expected import expected
from deploy.demo.observer import Observer
from deploy.demo.pipeline import Pipeline, authorise, write_settings
from deploy.demo.player import Player
from deploy.demo.recordings import Case, read_recordings, unique_starts
from deploy.demo.report import verdict
from deploy.demo.run import run
from deploy.local import Endpoints
from deploy.local.parts.registry import API
from deploy.local.supervision import ProcessId
from deploy.server.layout import Layout
from deploy.server.units import TARGET, services, unit
from streams.rules import load_rules
from streams.settings import load_settings

SOURCE = Path(__file__).parents[3]
LIMITS = {"bitrix24": ["--bucket-size", "800", "--drain-per-second", "400"], "kommo": ["--requests-per-second", "800"]}
NEXT = Path("/opt/cel2crm-next")
IDLE_SECONDS = 40.0
STATES = ("active", "activating", "failed")
DATABASE_PASSWORD = secrets.token_urlsafe(12)


def main() -> None:
    """Whatever happens, the report is written: the container is then turned off."""
    jars, report = Path(sys.argv[1]), Path(sys.argv[2])
    found: dict[str, Any] = {}
    try:
        scenario(jars, found)
    except BaseException:
        found["failure"] = traceback.format_exc()
        found["journal"] = shell(["journalctl", "--namespace", "cel2crm", "-n", "150", "--no-pager"], check=False)
        found["system"] = shell(["journalctl", "-n", "80", "--no-pager"], check=False)
    report.write_text(json.dumps(found, indent=1), encoding="utf-8")


def scenario(jars: Path, found: dict[str, Any]) -> None:
    """Every step of docs/server.md."""
    before = files_of_the_system()
    make_pbx_database()
    found["installed"] = server("install", "--jars", str(jars)).splitlines()
    shell(["mariadb"], given=Path("/etc/cel2crm/capture_user.sql").read_text(encoding="utf-8"))
    layout = Layout.of(Path("/"))
    assert layout is not None
    portals = {crm: fake_portal(crm) for crm in LIMITS}
    settings = connect(layout, portals)
    shell(["systemctl", "enable", "--now", TARGET])
    found["states"] = states()
    found["first"] = play(settings, portals)
    found["exposure"] = exposure()
    time.sleep(IDLE_SECONDS)
    found["memory"] = memory()
    found["upgraded"], found["second"] = upgrade_under_load(settings, portals)
    found["states_after_upgrade"] = states()
    found["environment"] = {name: command_of(name) for name in ("kafka", "workers")}
    shell(["systemctl", "kill", "-s", "KILL", unit("workers")])
    found["third"] = play(settings, portals, among=40)
    found["log_files"] = [path.name for path in Path("/var/log/journal").glob("*.cel2crm")]
    found["uninstalled"] = server("uninstall").splitlines()
    found["left"] = sorted(files_of_the_system() - before)
    found["running"] = [
        line for line in shell(["ps", "-eo", "user:20,args"]).splitlines() if line.startswith("cel2crm")
    ]
    server("uninstall", "--purge") if Layout.of(Path("/")) else purge_after_uninstall(jars)
    found["left_after_purge"] = sorted(files_of_the_system() - before)


def purge_after_uninstall(jars: Path) -> None:
    """Installed again over what was left: the settings of before stand; then everything goes."""
    settings = Path("/etc/cel2crm/cel2crm.yaml").read_bytes()
    server("install", "--jars", str(jars))
    assert Path("/etc/cel2crm/cel2crm.yaml").read_bytes() == settings
    shell(["systemctl", "start", unit("kafka")])  # on the data that was left
    server("uninstall", "--purge")


def files_of_the_system() -> set[str]:
    """What an installer might leave: files of /etc, /opt, /usr/lib/systemd and the folders of /var/lib."""
    found: set[str] = set()
    for folder in ("/etc", "/opt", "/usr/lib/systemd", "/usr/local"):
        for directory, _, names in os.walk(folder):
            inside = Path(directory)
            if not inside.is_relative_to("/opt/cel2crm") and not inside.is_relative_to(NEXT):
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


def connect(layout: Layout, portals: Mapping[str, dict[str, str]]) -> Path:
    """Settings with the fake CRMs, secrets that the workers' user alone may read, and Bitrix24's application."""
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
    shell(["systemctl", "start", *(unit(name) for name in ("kafka", "registry", "connect"))])
    settings = write_settings(endpoints, dict(portals), layout.etc)
    shell(["chgrp", "cel2crm", *(str(path) for path in layout.etc.iterdir() if path.is_file())])
    shell(
        [
            "chmod",
            "0640",
            *(str(path) for path in layout.etc.iterdir() if path.suffix in ("", ".yaml") and path.is_file()),
        ]
    )
    shell(["systemctl", "start", unit("apply")])
    code = Path("/run/authorise")
    code.mkdir(exist_ok=True)
    authorise("bitrix24", portals["bitrix24"]["url"], settings, code)
    return settings


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


class _Watched:
    """What deploy.demo.run asks of a pipeline: none of these processes is its child."""

    def __init__(self, portals: Mapping[str, dict[str, str]]) -> None:
        self.portals = {name: found["url"] for name, found in portals.items()}

    def check(self) -> None:
        """systemd sees to them."""


def play(settings: Path, portals: Mapping[str, dict[str, str]], *, among: int | None = None) -> dict[str, Any]:
    """Recorded calls through the installed server; what is missing, doubled or wrong among all calls ever played."""
    cases = new_cases(among)
    truths = [truth for case in cases for truth in expected(case)]
    player = Player("127.0.0.1", 3306, DATABASE_PASSWORD, lanes=8, speed=20.0)
    watched: Any = _Watched(portals)
    running: Pipeline = watched
    _PLAYED.extend(truths)
    observer = Observer(load_settings(settings), watched.portals)
    player.rows = _ROWS[0]
    asyncio.run(run(Console(file=sys.stderr), running, player, observer, cases, list(_PLAYED)))
    _ROWS[0] = player.rows
    faults = verdict(observer, list(_PLAYED), load_rules(observer.settings.rules))
    entries = {name: len(found) for name, found in observer.entries.items()}
    return {"calls": len(truths), "faults": [str(fault) for fault in faults], "entries": entries}


def new_cases(among: int | None) -> list[Case]:
    """Calls of a minute ago, under ids that were not played yet."""
    start = int(time.time()) - 60
    while True:
        cases = list(unique_starts(read_recordings()[:among], start))
        ids = {row["uniqueid"] for case in cases for row in case.rows}
        if not ids & _IDS:
            _IDS.update(ids)
            return cases
        start += 1


_PLAYED: list[Any] = []
_ROWS = [0]
_IDS: set[str] = set()


def upgrade_under_load(settings: Path, portals: Mapping[str, dict[str, str]]) -> tuple[list[str], dict[str, Any]]:
    """Calls go on while the installation is taken to another environment, and all servers and workers restart."""
    told: list[str] = []

    def upgrade() -> None:
        time.sleep(3)
        told.extend(
            shell([str(NEXT / "bin/cel2crm-server"), "upgrade", "--jars", sys.argv[1]], check=False).splitlines()
        )

    thread = threading.Thread(target=upgrade)
    thread.start()
    result = play(settings, portals)
    thread.join()
    return told, result


def states() -> dict[str, str]:
    """The state of each unit."""
    return {name: shell(["systemctl", "is-active", unit(name)], check=False).strip() for name in services(Layout())}


def memory() -> dict[str, float]:
    """Resident memory of each unit's main process, megabytes."""
    found = {}
    for name in services(Layout()):
        pid = shell(["systemctl", "show", "-p", "MainPID", "--value", unit(name)]).strip()
        if pid not in ("", "0"):
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            found[name] = round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1)
    return found


def command_of(name: str) -> str:
    """The command line of a unit's main process."""
    pid = shell(["systemctl", "show", "-p", "MainPID", "--value", unit(name)]).strip()
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")


def exposure() -> dict[str, float]:
    """What systemd-analyze rates each running unit, 0 (best) to 10."""
    found = {}
    for name in services(Layout()):
        told = shell(["systemd-analyze", "security", "--no-pager", unit(name)])
        found[name] = float(told.strip().splitlines()[-1].split(":")[1].split()[0])
    return found


def server(*words: str) -> str:
    """The command cel2crm-server of the installed wheel."""
    return shell(["/opt/cel2crm/bin/cel2crm-server", *words])


def shell(command: Sequence[str], given: str | None = None, *, check: bool = True) -> str:
    """Run a command as an administrator; what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=environment)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + ("" if check else done.stderr)


if __name__ == "__main__":
    shutil.rmtree("/run/authorise", ignore_errors=True)
    main()
