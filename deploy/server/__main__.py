"""The command `cel2crm-server`: one server without containers (docs/server.md)."""

import argparse
import os
import sys
from pathlib import Path

from deploy.server import installer
from deploy.server.capture_user import ENGINES
from deploy.server.layout import PORTS, Layout
from deploy.server.units import SERVERS, units
from deploy.server.waiting import wait_for
from streams.errors import UserError
from streams.settings import load_settings


def main() -> None:
    """Exit status 0; 2 with one message where something cannot be done."""
    arguments = _arguments()
    try:
        _run(arguments)
    except UserError as error:
        sys.stderr.write(f"cel2crm-server: {error.problem}\n  {error.remedy}\n")
        sys.exit(2)
    except BrokenPipeError:  # `.. units | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: argparse.Namespace) -> None:
    root: Path = arguments.root
    if arguments.command == "install":
        ports = {**PORTS, **dict(arguments.port)}
        layout = Layout(root, ports=ports, apart=arguments.apart)
        installer.install(layout, _say, arguments.jars, arguments.engine)
    elif arguments.command == "upgrade":
        installer.upgrade(Layout(root), _say, arguments.jars)
    elif arguments.command == "uninstall":
        installer.uninstall(_installed(root), _say, purge=arguments.purge)
    elif arguments.command == "capture-user":
        installer.write_capture_user(_installed(root), _say)
    elif arguments.command == "units":
        layout = Layout.of(root) or Layout(root, jars=root / "opt/cel2crm-servers/jars", cluster="CLUSTER")
        for name, text in units(layout).items():
            _say(f"# /etc/systemd/system/{name}\n{text}")
    elif arguments.command == "wait":
        wait_for(_installed(root), arguments.server, arguments.seconds)
    else:
        _work(_installed(root), arguments.command)


def _work(layout: Layout, command: str) -> None:
    """Become the worker of all CRMs that the settings have portals of; `work`: and of calls, with the watch.

    Raises UserError: the settings cannot be used, or there is no portal to deliver to.
    """
    settings = layout.etc / "cel2crm.yaml"
    crms = list(dict.fromkeys(portal.crm for portal in load_settings(settings).portals))
    if command == "work":
        words = ["aggregate", *crms, "--watch"]
    elif crms:
        words = crms
    else:
        raise UserError(f"{settings} has no portal", "Add one to `portals`, and start cel2crm-deliver again.")
    program = str(layout.program / "cel2crm")
    os.execv(program, [program, "worker", *words, "--settings", str(settings)])  # noqa: S606


def _installed(root: Path) -> Layout:
    layout = Layout.of(root)
    if layout is None:
        raise UserError(f"there is no installation below {root}", "Give `cel2crm-server install` first.")
    return layout


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in PORTS or not number.isdigit() or not 0 < int(number) < 65_536:
        raise argparse.ArgumentTypeError(f"{text}: write NAME=NUMBER; the names are {', '.join(PORTS)}")
    return name, int(number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cel2crm-server",
        description="Kafka, the schema registry, Kafka Connect and cel2crm's workers on one server, as systemd units.",
    )
    parser.add_argument(
        "--root", type=lambda text: Path(text).resolve(), default=Path("/"),
        help="an installation of its own below a folder; nothing of this system's is touched",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    elsewhere = "servers that were downloaded elsewhere, a folder jars-.."
    install = commands.add_parser("install", help="write units, configuration and settings; start nothing")
    install.add_argument("--jars", type=Path, metavar="DIR", help=elsewhere)
    install.add_argument("--port", type=_port, action="append", default=[], metavar="NAME=NUMBER", help="not 9092, ..")
    install.add_argument("--engine", choices=ENGINES, default="mariadb", help="of the PBX's database")
    install.add_argument(
        "--apart", action="store_true", help="a unit for each worker: 150 MB more, and none ends another"
    )
    commands.add_parser("capture-user", help="write the SQL for the database's user, as the settings are now")
    upgrade = commands.add_parser("upgrade", help="run the installation from this environment's version; restarts")
    upgrade.add_argument("--jars", type=Path, metavar="DIR", help=elsewhere)
    uninstall = commands.add_parser("uninstall", help="stop and remove; says what it leaves")
    uninstall.add_argument("--purge", action="store_true", help="data, settings, secrets and users too")
    commands.add_parser("units", help="print the units")
    wait = commands.add_parser("wait", help="return when a server answers")
    wait.add_argument("server", choices=SERVERS)
    wait.add_argument("--seconds", type=float, default=60.0)
    commands.add_parser("work", help="all workers and the watch of the connectors, in one process")
    commands.add_parser("deliver", help="the worker of all CRMs that the settings have portals of")
    return parser.parse_args()


if __name__ == "__main__":
    main()
