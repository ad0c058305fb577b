"""Every file that the installer writes, as text: ours, written anew at each upgrade, and those of the operator."""

import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from deploy.local.parts import Connect, Kafka
from deploy.local.parts.part import properties
from deploy.server.capture_user import CaptureUser, capture_user
from deploy.server.layout import PORTS, Layout
from deploy.server.units import USERS, WORKER_USER, units, users
from streams.settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class File:
    """One file: where, what is in it, who may read it."""

    path: Path
    text: str
    group: str = "root"
    mode: int = 0o644


def ours(layout: Layout) -> list[File]:
    """What belongs to the product: nobody edits it."""
    kafka, connect = layout.part("kafka"), layout.part("connect")
    assert isinstance(kafka, Kafka)
    assert isinstance(connect, Connect)
    secrets_folder = str(layout.connect_secrets)
    of_connect = {**connect.configuration(), "config.providers.file.param.allowed.paths": secrets_folder}
    servers = layout.etc / "servers"
    found = [
        File(servers / "kafka.properties", properties(kafka.configuration())),
        File(servers / "connect.properties", properties(of_connect)),
        File(layout.root / "etc/sysusers.d/cel2crm.conf", _sysusers()),
        File(layout.systemd / "journald@cel2crm.conf", _JOURNAL),
        File(layout.record, layout.kept()),
    ]
    return [*found, *(File(layout.units / name, text) for name, text in units(layout).items())]


def operators(layout: Layout, engine: str) -> list[File]:
    """What an operator fills in, for a database of this engine: written once, never touched again.

    The user's SQL comes with the password that it sets: where that is there already, the file was used and removed.
    """
    kept = layout.etc / "database-password"
    known = kept.read_text(encoding="utf-8").strip() if kept.is_file() else ""
    password = known or secrets.token_urlsafe(24)
    text = settings(layout, engine)
    user = [] if known else [capture_user_file(layout, shipped_user(layout, engine, password).statements)]
    return [
        File(layout.etc / "cel2crm.yaml", text, WORKER_USER, 0o640),
        File(layout.etc / "database-password", password, WORKER_USER, 0o640),
        File(
            layout.connect_secrets / "secrets.properties",
            properties({"cel.password": password}),
            USERS["connect"],
            0o640,
        ),
        *user,
    ]


def shipped_user(layout: Layout, engine: str, password: str) -> CaptureUser:
    """The database's user as the settings of a new installation name it."""
    return capture_user(Settings.model_validate(yaml.safe_load(settings(layout, engine))), password)


def capture_user_file(layout: Layout, statements: str) -> File:
    """For root alone: the password is in it."""
    return File(layout.etc / "capture_user.sql", statements, mode=0o600)


def settings(layout: Layout, engine: str = "mariadb") -> str:
    """The sample's settings, with this installation's addresses and places."""
    text = (ROOT / "deploy/samples/cel2crm.yaml").read_text(encoding="utf-8")
    if engine != "mariadb":
        text = text.replace("database:\n", f"database:\n  engine: {engine}\n", 1)
    for part in ("kafka", "registry", "connect"):
        text = text.replace(f"127.0.0.1:{PORTS[part]}", f"127.0.0.1:{layout.ports[part]}")
    text = text.replace("/etc/cel2crm/connect-secrets.properties", str(layout.connect_secrets / "secrets.properties"))
    text = text.replace("/etc/cel2crm/", f"{layout.etc}/")
    yaml.safe_load(text)
    return text


def _sysusers() -> str:
    lines = [f'u {user} - "{what}" /var/lib/cel2crm -\n' for user, what in users().items()]
    return f"# cel2crm {version('cel2crm')}\n{''.join(lines)}"


_JOURNAL = """\
# Logs of cel2crm's units: journalctl --namespace cel2crm -u cel2crm-workers
[Journal]
Storage=persistent
SystemMaxUse=300M
MaxRetentionSec=1month
"""
