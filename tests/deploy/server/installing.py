"""Every step of docs/server.md but the upgrade: install, connect, play calls, kill a worker, lose all, uninstall."""

import time
from pathlib import Path
from typing import Any

from deploy.demo.recordings import read_recordings
from deploy.server.layout import Layout
from deploy.server.units import TARGET, unit
from tests.deploy.server.calls import Calls
from tests.deploy.server.machine import (
    ENVIRONMENT,
    authorise,
    exposure,
    files_of_the_system,
    main_processes,
    processes,
    resident_mb,
    server,
    shell,
    start_all,
    states,
)

IDLE_SECONDS = 40.0
ALL = len(read_recordings())
"""The recorded cases."""


def scenario(found: dict[str, Any], jars: str) -> None:
    """`jars`: the folder of the servers."""
    before = files_of_the_system()
    settings, portals = start_all(ENVIRONMENT, "--jars", jars)
    calls = Calls(settings, portals)
    found["states"] = states()
    calls.play(ALL)
    found["first"] = calls.judged()
    found["status"] = _status(settings)
    found["exposure"] = exposure()
    time.sleep(IDLE_SECONDS)
    found["memory"] = {name: round(resident_mb(pid), 1) for name, pid in main_processes().items()}
    shell(["systemctl", "kill", "-s", "KILL", unit("workers")])
    calls.play(40)
    found["after_a_kill"] = calls.judged()
    _lose_the_server(settings, portals, jars)
    found["after_the_loss"] = calls.judged()
    found["log_files"] = [path.name for path in Path("/var/log/journal").glob("*.cel2crm")]
    found["uninstalled"] = server(ENVIRONMENT, "uninstall").splitlines()
    found["left"] = sorted(files_of_the_system() - before)
    found["running"] = processes()
    assert Layout.of(Path("/")) is None
    _purge_after_uninstall(jars)
    found["left_after_purge"] = sorted(files_of_the_system() - before)


def _status(settings: Path) -> str:
    """The last command of docs/server.md's first block."""
    return shell(["runuser", "-u", "cel2crm", "--", str(ENVIRONMENT / "bin/cel2crm"), "status", "-s", str(settings)])


def _lose_the_server(settings: Path, portals: dict[str, dict[str, str]], jars: str) -> None:
    """Everything but what docs/server.md has people back up is gone, and the calls come again from the PBX's table."""
    backup = ["tar", "-C", "/", "-czf", "/run/cel2crm-etc.tgz", "--exclude=server.json", "--exclude=servers"]
    shell([*backup, "etc/cel2crm"])
    server(ENVIRONMENT, "uninstall", "--purge")
    server(ENVIRONMENT, "install", "--jars", jars)
    shell(["tar", "-C", "/", "-xzf", "/run/cel2crm-etc.tgz"])
    shell(["systemctl", "start", *(unit(name) for name in ("kafka", "registry", "connect", "apply"))])
    authorise(ENVIRONMENT, settings, portals["bitrix24"]["url"])
    shell(["systemctl", "enable", "--now", TARGET])
    words = ["backfill", "--since", "0", "--deliver", "--yes", "--settings", str(settings)]
    shell([str(ENVIRONMENT / "bin/cel2crm"), *words])


def _purge_after_uninstall(jars: str) -> None:
    """Installed again over what was left: the settings of before stand; then everything goes."""
    settings = Path("/etc/cel2crm/cel2crm.yaml").read_bytes()
    server(ENVIRONMENT, "install", "--jars", jars)
    assert Path("/etc/cel2crm/cel2crm.yaml").read_bytes() == settings
    shell(["systemctl", "start", unit("kafka")])  # on the data that was left
    server(ENVIRONMENT, "uninstall", "--purge")
