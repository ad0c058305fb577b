"""`python -m deploy.fake_crms bitrix24|kommo|webhook`: one portal as a process.

Prints one JSON line when it listens: {"portal", "url", "pid"} and, but for Kommo, "webhook_url". Ends on SIGTERM,
SIGINT, and with --watch-stdin when its standard input closes, so that it never outlives the one who started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from deploy.fake_crms import (
    Bitrix24Config,
    Bitrix24Portal,
    KommoConfig,
    KommoPortal,
    Portal,
    WebhookConfig,
    WebhookPortal,
)
from deploy.fake_crms.journal import DamagedJournalError


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and 65535")
    return port


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.fake_crms", description="A fake CRM portal for demo and tests."
    )
    parser.add_argument("portal", choices=("bitrix24", "kommo", "webhook"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=0, help="0 (the default) takes a free one")
    parser.add_argument(
        "--state-dir", type=Path, help="keep what was received here, over restarts; without it in memory"
    )
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input closes")
    parser.add_argument("--no-limits", action="store_true", help="no request limits")
    parser.add_argument("--bucket-size", type=int, default=50, help="Bitrix24: requests at once")
    parser.add_argument(
        "--drain-per-second", type=float, default=2.0, help="Bitrix24: requests a second in the long run"
    )
    parser.add_argument(
        "--webhook-allowed", action="store_true", help="Bitrix24: take calls by incoming webhook, as older portals do"
    )
    parser.add_argument("--requests-per-second", type=int, default=7, help="Kommo: requests a second")
    parser.add_argument("--known-clients", action="store_true", help="Kommo: every number has a contact already")
    return parser.parse_args()


def _portal(arguments: argparse.Namespace) -> Portal:
    if arguments.portal == "bitrix24":
        return Bitrix24Portal(
            Bitrix24Config(
                host=arguments.host,
                port=arguments.port,
                state_dir=arguments.state_dir,
                bucket_size=0 if arguments.no_limits else arguments.bucket_size,
                drain_per_second=arguments.drain_per_second,
                webhook_allowed=arguments.webhook_allowed,
            )
        )
    if arguments.portal == "webhook":
        return WebhookPortal(
            WebhookConfig(host=arguments.host, port=arguments.port, state_dir=arguments.state_dir),
        )
    return KommoPortal(
        KommoConfig(
            host=arguments.host,
            port=arguments.port,
            state_dir=arguments.state_dir,
            known_clients=arguments.known_clients,
            requests_per_second=0 if arguments.no_limits else arguments.requests_per_second,
        )
    )


async def _end_of_stdin() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _portal(arguments) as portal:
        address = {"portal": portal.name, "url": portal.url, "pid": os.getpid()}
        if isinstance(portal, Bitrix24Portal | WebhookPortal):
            address["webhook_url"] = portal.webhook_url
        print(json.dumps(address), flush=True)
        waits: set[asyncio.Task[object]] = {asyncio.create_task(_wait(stop))}
        if arguments.watch_stdin:
            waits.add(asyncio.create_task(_end_of_stdin()))
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


def main() -> int:
    """Run until told to stop; exit status 2 if the address cannot be had."""
    arguments = _arguments()
    try:
        asyncio.run(_run(arguments))
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}" if arguments.port else arguments.host
        print(
            f"{arguments.portal} portal: cannot listen on {where} or use its state folder: {error}.\n"
            "Give another --port or --state-dir.",
            file=sys.stderr,
        )
        return 2
    except DamagedJournalError as error:
        print(f"{arguments.portal} portal: {error}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
