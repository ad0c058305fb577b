"""`python -m deploy.local up|down|status|logs`: the local stack from a shell."""

import argparse
import fcntl
import json
import os
import shutil
import sys

from deploy.local import PARTS, LocalStack, detached
from deploy.local.endpoints import Endpoints
from deploy.local.errors import StackError
from streams.errors import UserError


def main() -> int:
    """Exit status 0; 1 where nothing runs; 2 with one message where something cannot be done."""
    arguments = _arguments()
    try:
        if arguments.command == "up":
            return _up()
        if arguments.command == "down":
            ended = detached.end()
            print("ended" if ended else "nothing was running")
            return 0
        endpoints = detached.running()
        if arguments.command == "status":
            return _status(endpoints, as_json=arguments.json)
        if endpoints is None:
            raise StackError("The local stack is not running.", "Start it: make up")
        print(endpoints.logs[arguments.part].read_text(encoding="utf-8", errors="replace"), end="")
    except UserError as error:
        print(f"{error.problem}\n  {error.remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was started has ended", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... logs kafka | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _up() -> int:
    detached.UP.parent.mkdir(parents=True, exist_ok=True)
    with detached.UP.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two at once, the second finds it running
        endpoints = detached.running()
        if endpoints is not None:
            print("running already")
        else:
            shutil.rmtree(detached.UP, ignore_errors=True)  # left by a machine that went down
            endpoints = _start_and_leave()
    _tell(endpoints)
    return 1 if detached.ended_parts(endpoints) else 0


def _start_and_leave() -> Endpoints:
    stack = LocalStack(detached.UP, say=lambda line: print(line, flush=True))
    try:
        stack.start()
        stack.create_pbx_database()
        endpoints = stack.endpoints
        stack.detach()
    except BaseException:
        stack.stop()
        raise
    return endpoints


def _status(endpoints: Endpoints | None, *, as_json: bool) -> int:
    ended = [] if endpoints is None else detached.ended_parts(endpoints)
    if as_json:
        addresses = None if endpoints is None else _addresses(endpoints)
        print(json.dumps({"running": endpoints is not None, "ended_parts": ended, "addresses": addresses}))
    elif endpoints is None:
        print("not running (make up)")
    else:
        _tell(endpoints)
    return 1 if endpoints is None or ended else 0


def _addresses(endpoints: Endpoints) -> dict[str, str]:
    return {
        "kafka": endpoints.bootstrap_servers,
        "connect": endpoints.connect_url,
        "registry": endpoints.registry_url,
        "mariadb": f"{endpoints.mariadb_host}:{endpoints.mariadb_port}",
        "directory": str(endpoints.directory),
    }


def _tell(endpoints: Endpoints) -> None:
    for name, address in _addresses(endpoints).items():
        print(f"  {name:10} {address}")
    for part in detached.ended_parts(endpoints):
        print(f"  {part} has ended: see `python -m deploy.local logs {part}`, then make down and make up")
    print("  passwords and process ids: endpoints.json in the directory. End it: make down")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Kafka, Kafka Connect with Debezium, the schema registry and MariaDB as processes on loopback.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, leave it running, print the addresses")
    commands.add_parser("down", help="end exactly what `up` started")
    status = commands.add_parser("status", help="is it running, and where; exit status 1 if not")
    status.add_argument("--json", action="store_true", help="for machines")
    logs = commands.add_parser("logs", help="print the log of one part")
    logs.add_argument("part", choices=PARTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
