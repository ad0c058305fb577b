"""Install, upgrade and uninstall on one server. Every step may be given again: what is there is left, or made right."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from deploy.local.download import CHECKSUMS, jars
from deploy.local.errors import StackError
from deploy.local.parts.kafka import new_cluster_id
from deploy.server.capture_user import capture_user
from deploy.server.files import File, capture_user_file, operators, ours, shipped_user
from deploy.server.layout import Layout, require_reachable
from deploy.server.units import TARGET, USERS, WRITTEN_BY, services, unit, units, users, workers
from streams.settings import load_settings

Say = Callable[[str], None]
_MAINTAINED = ("var/lib/cel2crm", "opt/cel2crm-servers", "etc/cel2crm")


def install(layout: Layout, say: Say, jars_from: Path | None = None, engine: str = "mariadb") -> Layout:
    """Write everything, start nothing; `engine`: of the PBX's database.

    Raises StackError: no right to, a half of another installation, no download.
    """
    _require_root(layout)
    if Layout.of(layout.root) is not None:
        raise StackError(
            f"There is an installation already ({layout.record}).", "Give `cel2crm-server upgrade`, or uninstall it."
        )
    layout = replace(layout, cluster=_cluster(layout), jars=_servers(layout, say, jars_from))
    _write_all(layout, say, engine)
    for line in next_steps(layout, engine):
        say(line)
    return layout


def write_capture_user(layout: Layout, say: Say) -> None:
    """Write capture_user.sql anew, as the settings are now. Raises UserError: settings with which it cannot be made."""
    user = capture_user(load_settings(layout.etc / "cel2crm.yaml"))
    file = capture_user_file(layout, user.statements)
    _write(file)
    _own(layout, file.path, "root", file.group, file.mode)
    say(f"  {user.command} {file.path}    # on the PBX's database server, as root; then remove the file")


def upgrade(layout: Layout, say: Say, jars_from: Path | None = None) -> Layout:
    """The installation runs from this Python environment's version, with its servers; what did not change is not
    restarted. Given from the former environment, it is the way back."""
    _require_root(layout)
    before = Layout.of(layout.root)
    if before is None:
        raise StackError(f"There is no installation ({layout.record}).", "Give `cel2crm-server install`.")
    layout = replace(before, environment=layout.environment, java=layout.java, jars=_servers(layout, say, jars_from))
    # Remembered before anything is written: an upgrade that fails on its way is given again, and then nothing changes.
    servers = _to_restart(layout)
    _write_all(layout, say)
    _remove_former_units(layout, say)
    if layout.root == Path("/"):
        _systemctl("daemon-reload")
        for name in (*servers, "apply", *workers(layout)):
            say(f"restarting {name}")
            _systemctl("restart", unit(name))
    _pending(layout).unlink(missing_ok=True)
    say(f"now from {layout.environment}; back: {before.program / 'cel2crm-server'} upgrade")
    return layout


def uninstall(layout: Layout, say: Say, *, purge: bool) -> None:
    """Stop and remove what was installed. Data, settings and secrets stay, and are named, unless `purge`."""
    _require_root(layout)
    if layout.root == Path("/"):
        _systemctl("disable", "--now", TARGET, check=False)
        for name in reversed(services(layout)):
            _systemctl("stop", unit(name), check=False)
    for file in ours(layout):
        if file.path.is_relative_to(layout.etc) and not purge:
            continue
        file.path.unlink(missing_ok=True)
    if layout.root == Path("/"):
        _systemctl("daemon-reload")
    if purge:
        for name in _MAINTAINED:
            shutil.rmtree(layout.root / name, ignore_errors=True)
        if layout.root == Path("/"):
            for user in users():
                subprocess.run(["userdel", user], check=False, capture_output=True)
    else:
        layout.record.unlink(missing_ok=True)
        say("left, for another installation: " + ", ".join(str(layout.root / name) for name in _MAINTAINED))
        say("and the users " + ", ".join(users()) + ". All of that goes with: cel2crm-server uninstall --purge")
    say(f"left in any case: the Python environment {layout.environment} (rm -r); the journal's files of the namespace")
    say(
        "cel2crm in /var/log/journal; in the PBX's database its user (DROP USER 'cel2crm'@'%'), and the binlog settings"
    )


def next_steps(layout: Layout, engine: str) -> list[str]:
    """What an operator does after `install`."""
    command = shipped_user(layout, engine, "not shown").command
    return [
        "installed; nothing runs yet. Next:",
        f"  {command} {layout.etc}/capture_user.sql    # on the PBX's database server, as root; then remove the file",
        f"  {layout.etc}/cel2crm.yaml    # the PBX, its database, numbers, portals; secrets: chmod o=, chgrp cel2crm",
        f"  {layout.program}/cel2crm-server capture-user    # after other names in it: makes capture_user.sql anew",
        f"  systemctl enable --now {TARGET}",
        f"  runuser -u cel2crm -- {layout.program}/cel2crm status -s {layout.etc}/cel2crm.yaml",
    ]


def _pending(layout: Layout) -> Path:
    """The servers that an upgrade has to restart, until it has."""
    return layout.etc / "servers/to-restart"


def _to_restart(layout: Layout) -> list[str]:
    """The servers whose unit or configuration this version changes, or one before it that did not end."""
    pending = _pending(layout)
    before = pending.read_text("utf-8").split() if pending.is_file() else []
    mine = ours(layout)
    changed = {file.path for file in mine if not file.path.is_file() or file.path.read_text("utf-8") != file.text}
    servers = [name for name in USERS if name in before or _concerns(name, changed)]
    _write(File(pending, "".join(f"{name}\n" for name in servers)))
    return servers


def _write_all(layout: Layout, say: Say, engine: str = "mariadb") -> None:
    """`engine`: of operators' files that are missing."""
    for file in ours(layout):
        _write(file)
    if layout.root == Path("/"):
        _make_users()
    for folder in (layout.etc / "servers", layout.connect_secrets, layout.servers, layout.state):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (*USERS, "worker"):
        (layout.state / name).mkdir(exist_ok=True)
        _own(layout, layout.state / name, USERS.get(name, "cel2crm"), USERS.get(name, "cel2crm"), 0o700)
    _own(layout, layout.connect_secrets, "root", USERS["connect"], 0o750)
    for file in operators(layout, engine):
        if not file.path.exists():
            _write(file)
            _own(layout, file.path, "root", file.group, file.mode)
            say(f"made {file.path}")


def _remove_former_units(layout: Layout, say: Say) -> None:
    """Units of another version that this one does not have: they would go on beside its own."""
    for path in sorted(layout.units.glob("cel2crm*")):
        if path.name not in units(layout) and path.is_file() and path.read_text("utf-8").startswith(WRITTEN_BY):
            say(f"removing {path.name}, which this version does not have")
            if layout.root == Path("/"):
                _systemctl("stop", path.name)
            path.unlink()


def _make_users() -> None:
    said = _run(["systemd-sysusers"])  # its exit status is 0 also where it made none
    missing = [user for user in users() if not _exists(user)]
    if missing:
        raise StackError(
            f"These users could not be made: {', '.join(missing)}. {said}",
            "Make them: useradd --system --home-dir /var/lib/cel2crm NAME; then give the command again.",
        )


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _cluster(layout: Layout) -> str:
    """The identifier of the data that an uninstalled Kafka left, else a new one."""
    try:
        lines = (layout.state / "kafka/logs/meta.properties").read_text(encoding="utf-8").splitlines()
    except OSError:
        return new_cluster_id()
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), new_cluster_id())


def _servers(layout: Layout, say: Say, jars_from: Path | None) -> Path:
    """The folder of jars, which every service may read: downloaded, or copied from another machine's."""
    layout.servers.mkdir(parents=True, exist_ok=True)
    before = os.umask(0o022)
    try:
        if jars_from is None:
            found = jars(say, layout.servers)
        else:
            found = layout.servers / jars_from.resolve().name
            if not (jars_from / "kafka").is_dir():
                raise StackError(f"{jars_from} holds no servers.", f"Copy a folder jars-.. here ({CHECKSUMS.name}).")
            if not found.is_dir():
                shutil.copytree(jars_from, found.with_name("copying"), dirs_exist_ok=True)
                found.with_name("copying").rename(found)
    finally:
        os.umask(before)
    for path in (found, *found.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return found


def _write(file: File) -> None:
    """At once or not at all; never readable by more than it will be."""
    file.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    partial = file.path.with_name(f".{file.path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write(file.text)
    partial.chmod(file.mode)
    partial.rename(file.path)


def _own(layout: Layout, path: Path, user: str, group: str, mode: int) -> None:
    if layout.root == Path("/"):
        shutil.chown(path, user, group)
    path.chmod(mode)


def _concerns(name: str, changed: set[Path]) -> bool:
    """Whether a server has to be started anew: its unit or its configuration changed."""
    return any(path.name in (unit(name), f"{name}.properties") for path in changed)


def _require_root(layout: Layout) -> None:
    if layout.root != Path("/"):
        return
    if os.geteuid() != 0:
        raise StackError("Units are installed as root.", "Give the command as root.")
    if shutil.which("systemctl") is None:
        raise StackError("systemd is not there.", "Without it: containers (docs/compose.md, docs/kubernetes.md).")
    require_reachable(layout.environment)


def _systemctl(*words: str, check: bool = True) -> None:
    _run(["systemctl", *words], check=check)


def _run(command: list[str], *, check: bool = True) -> str:
    """What it said on standard error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise StackError(
            f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}",
            "Mend it, and give the same command again: what is done is left.",
        )
    return done.stderr.strip()
