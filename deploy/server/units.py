"""The systemd units of one server, as text. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.parts import Kafka
from deploy.server.hardening import COMMON, LOOPBACK, NO_FURTHER_CALLS
from deploy.server.layout import Layout

TARGET = "cel2crm.target"
SERVERS = ("kafka", "registry", "connect")
TOGETHER = ("workers",)
APART = ("aggregate", "deliver", "watch")
"""Units of the workers and the watch of the connectors: one process of all, or one each (`install --apart`)."""
USERS = {"kafka": "cel2crm-kafka", "registry": "cel2crm-registry", "connect": "cel2crm-connect"}
WORKER_USER = "cel2crm"
_MEMORY = {
    "kafka": "512M", "registry": "384M", "connect": "1G",
    "workers": "1536M", "aggregate": "1G", "deliver": "1G", "watch": "512M",
}  # fmt: skip
"""More than that, and the kernel ends it; systemd starts it again. The heaps are smaller, layout.py."""
_TASKS = {"connect": "2048"}
"""Threads, where they are many: Connect has ten a PBX."""
_READY_SECONDS = 180
WRITTEN_BY = "# Written by cel2crm-server"
"""How each unit of ours begins."""

_WORKERS = {
    "workers": ("calls judged and delivered, capture watched", ["cel2crm-server", "work"]),
    "aggregate": ("calls judged", ["cel2crm", "worker", "aggregate"]),
    "deliver": ("calls delivered to CRMs", ["cel2crm-server", "deliver"]),
    "watch": ("capture watched", ["cel2crm", "connectors", "watch"]),
}
"""What each is for, and its command."""

Section = Sequence[tuple[str, str]]


def units(layout: Layout) -> dict[str, str]:
    """The text of every unit, by its file's name."""
    texts = {TARGET: _target(layout)}
    for name in SERVERS:
        texts[unit(name)] = _server(layout, name)
    texts[unit("apply")] = _apply(layout)
    for name in workers(layout):
        texts[unit(name)] = _worker(layout, name)
    return texts


def workers(layout: Layout) -> tuple[str, ...]:
    """The units' services that are no servers."""
    return APART if layout.apart else TOGETHER


def services(layout: Layout) -> tuple[str, ...]:
    """All, in the order in which they start."""
    return (*SERVERS, "apply", *workers(layout))


def unit(service: str) -> str:
    """A service's unit."""
    return f"cel2crm-{service}.service"


def commands(layout: Layout, service: str) -> dict[str, list[list[str]]]:
    """The commands of a server: before, itself, and until it serves."""
    part = layout.part(service)
    before = [part.format_storage(layout.cluster)] if isinstance(part, Kafka) else []
    wait: list[str | Path] = [
        layout.program / "cel2crm-server",
        *_root(layout),
        "wait",
        service,
        "--seconds",
        str(_READY_SECONDS),
    ]
    steps: dict[str, list[Sequence[str | Path]]] = {
        "ExecStartPre": before,
        "ExecStart": [part.command()],
        "ExecStartPost": [wait],
    }
    return {step: [[str(word) for word in command] for command in found] for step, found in steps.items()}


def _server(layout: Layout, name: str) -> str:
    needs = [unit("kafka")] if name == "connect" else []
    outside = LOOPBACK if name != "connect" else {}
    description = {"kafka": "Kafka, one node", "registry": "schema registry", "connect": "Kafka Connect with Debezium"}
    return _text(
        Unit=[
            ("Description", f"cel2crm: {description[name]}"),
            ("After", " ".join(["network-online.target", *needs])),
            ("Wants", "network-online.target"),
            *((("Requires", " ".join(needs)),) if needs else ()),
            ("PartOf", TARGET),
        ],
        Service=[
            *_identity(USERS[name], name),
            ("StateDirectory", f"cel2crm/{name}"),
            ("WorkingDirectory", str(layout.state / name)),
            ("Environment", "MALLOC_ARENA_MAX=2"),
            *((step, _line(line)) for step, lines in commands(layout, name).items() for line in lines),
            ("TimeoutStartSec", str(_READY_SECONDS + 30)),
            ("SuccessExitStatus", "143"),  # Java's after SIGTERM
            ("LimitNOFILE", "65536"),
            *_limits(name),
            *COMMON.items(),
            *NO_FURTHER_CALLS.items(),
            *outside.items(),
        ],
    )


def _apply(layout: Layout) -> str:
    cel2crm = str(layout.program / "cel2crm")
    needs = " ".join(unit(name) for name in SERVERS)
    return _text(
        Unit=[("Description", "cel2crm: topics and connectors as declared"), ("After", needs), ("Requires", needs)],
        Service=[
            *_identity(WORKER_USER, "apply")[:-2],
            ("Type", "oneshot"),
            ("RemainAfterExit", "yes"),
            ("Environment", f"CEL2CRM_SETTINGS={layout.etc / 'cel2crm.yaml'}"),
            ("ExecStart", _line([cel2crm, "topics", "apply"])),
            ("ExecStart", _line([cel2crm, "connectors", "apply"])),
            ("TimeoutStartSec", "180"),
            *COMMON.items(),
            *NO_FURTHER_CALLS.items(),
        ],
    )


def _worker(layout: Layout, name: str) -> str:
    description, (program, *words) = _WORKERS[name]
    root = _root(layout) if program == "cel2crm-server" else []
    after = " ".join(unit(each) for each in (*SERVERS, "apply"))
    return _text(
        Unit=[
            ("Description", f"cel2crm: {description}"),
            # Wanted, not required: where the PBX's database is away at boot, calls on Kafka are delivered all the same.
            ("After", after),
            ("Wants", after),
            ("PartOf", TARGET),
            ("StartLimitIntervalSec", "0"),
        ],
        Service=[
            *_identity(WORKER_USER, name),
            ("StateDirectory", "cel2crm/worker"),
            ("WorkingDirectory", str(layout.state / "worker")),
            ("Environment", f"CEL2CRM_SETTINGS={layout.etc / 'cel2crm.yaml'} MALLOC_ARENA_MAX=2"),
            ("ExecStart", _line([str(layout.program / program), *root, *words])),
            # 2: a person must mend something first, and is told what; starting again would only say it again.
            ("RestartPreventExitStatus", "2"),
            ("TimeoutStopSec", "45"),
            *_limits(name),
            *COMMON.items(),
            *NO_FURTHER_CALLS.items(),
        ],
    )


def _identity(user: str, name: str) -> list[tuple[str, str]]:
    return [
        ("User", user),
        ("Group", user),
        ("LogNamespace", "cel2crm"),
        ("SyslogIdentifier", f"cel2crm-{name}"),
        ("Restart", "always"),
        ("RestartSec", "2"),
    ]


def _limits(name: str) -> list[tuple[str, str]]:
    return [("MemoryMax", _MEMORY[name]), ("MemorySwapMax", "0"), ("TasksMax", _TASKS.get(name, "512"))]


def _target(layout: Layout) -> str:
    wanted = " ".join(unit(name) for name in services(layout))
    return _text(
        Unit=[("Description", "cel2crm: everything"), ("Wants", wanted), ("After", wanted)],
        Install=[("WantedBy", "multi-user.target")],
    )


def _root(layout: Layout) -> list[str]:
    return [] if layout.root == Path("/") else ["--root", str(layout.root)]


def _line(command: Sequence[str]) -> str:
    """A command as systemd splits it: `%` and `$` are its own signs."""
    words = [word.replace("%", "%%").replace("$", "$$") for word in command]
    return " ".join(f'"{word}"' if any(sign in word for sign in ' "*') else word for word in words)


def _text(**sections: Section) -> str:
    parts = [
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in section) for name, section in sections.items()
    ]
    return f"{WRITTEN_BY}; changes of yours: systemctl edit UNIT\n" + "\n".join(parts)


def users() -> Mapping[str, str]:
    """Each system user, and what for; without a colon, which /etc/passwd cannot hold."""
    named = {user: f"cel2crm {name}" for name, user in USERS.items()}
    return {**named, WORKER_USER: "cel2crm workers and commands"}
