"""`cel2crm portal probe`: what only a portal can tell, tried with test calls at a trial account."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from aiolimiter import AsyncLimiter

from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, remark, say_json, say_lines
from streams.cli.portal.probe_report import LABELS, ReportHead, Veil, json_of, lines_of, markdown, veiled_host
from streams.cli.portal.report_file import ReportFile
from streams.cli.portal.tokens import kept_tokens
from streams.cli.portal.unmatched import portal_named
from streams.cli.prompts import ASK_FROM, YesOption, confirm
from streams.clock import BootSeconds, boot_seconds, format_time, utc_now_us
from streams.credentials.sealing import Unreadable
from streams.credentials.store import CredentialStore, key_of
from streams.crm.shared.client import Pace
from streams.crm.shared.probe import NUMBER, PREFIX, Outcome, ProbeReport, ProbeRequest, probe_for, probe_portal
from streams.crm.shared.tokens import Token, TokenSource
from streams.delivery.answers import PortalBlocked, RetryLater
from streams.errors import UserError
from streams.http.web_address import as_url
from streams.operations import token_store
from streams.settings import PortalSettings, Settings, load_settings, secret

LIMIT_SECONDS = 900.0
"""For all requests of a probe together."""

DIFFERENT = 1
NOT_DONE = 2
"""Exit statuses."""


def probe(
    name: Annotated[str, typer.Argument(help="The portal, by its name in the settings; it must be a trial there.")],
    report: Annotated[
        Path | None, typer.Option("--report", "-o", help="Write a report (Markdown), without secrets, for an issue.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a report that is there.")] = False,
    point: Annotated[list[int] | None, typer.Option("--point", help="Only this point; several times for more.")] = None,
    number: Annotated[
        str, typer.Option("--number", help="Phone number of the test calls; one that nobody has.")
    ] = NUMBER,
    user: Annotated[
        str, typer.Option("--user", help="CRM user id for the test calls; default: what fits.", show_default=False)
    ] = "",
    inner: Annotated[
        str, typer.Option("--inner", help="An inner number that nobody has; default: found.", show_default=False)
    ] = "",
    show_host: Annotated[
        bool, typer.Option("--show-host", help="Tell the portal's host, which is veiled else.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Try at a trial account what no document says, with calls that are marked as tests; say what the portal did.

    Only for a portal with `trial: true` in the settings. What the fake CRMs do is what is expected: a difference names
    the place of the fake. What was made is removed again as far as the vendor lets it; the rest is listed. The calls
    are of a number that nobody has, and none rings anywhere.

    Exit status 0: everything that could be tried is as the fakes have it; 1: something is different; 2: something
    could not be done.

    Examples:

        cel2crm portal probe trial -o probe.txt

        cel2crm portal probe trial --yes --json | jq -r 'select(.outcome == "different") | .what'
    """
    settings = load_settings(settings_file)
    portal = portal_named(settings, name)
    points = frozenset(point or ())
    writes = probe_for(portal, points).writes
    if not re.fullmatch(r"\+?\d{7,15}", number):
        raise UserError(f"--number {number} is no phone number", "Write it as +447700900917.")
    if inner and not inner.isdigit():
        raise UserError(f"--inner {inner} is no inner number", "It is made of digits.")
    run = _Run(settings, portal, _veil_of(portal, show_host=show_host), number)
    file = ReportFile(report, force=force) if report is not None else None
    confirm(f"Portal {name} gets {writes}. Go on?", ASK_FROM, yes=yes)
    quiet_kafka_client()
    if file is not None:
        file.keep(run.text(whole=False))
    try:
        asyncio.run(run.probe(points, user, inner, file))
    except UserError:
        if file is not None and not run.report.made:
            file.drop()
        raise
    results, made = run.report.results, run.report.made
    if as_json:
        for each in json_of(name, portal.crm, results, made, run.veil):
            say_json(each)
    else:
        say_lines(lines_of(results, made, run.veil))
    if file is not None:
        file.finish(run.text(whole=True))
    outcomes = {one.outcome for one in results}
    if Outcome.DIFFERENT in outcomes:
        raise typer.Exit(DIFFERENT)
    if Outcome.NOT_DONE in outcomes or Outcome.SAME not in outcomes:
        raise typer.Exit(NOT_DONE)


class _Run:
    """One run of a probe."""

    def __init__(self, settings: Settings, portal: PortalSettings, veil: Veil, number: str) -> None:
        self._settings = settings
        self._portal = portal
        self.veil = veil
        self.report = ProbeReport()
        host = _host_of(portal)
        marker = f"{PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        let_in_by = _let_in_by(portal)
        began = format_time(utc_now_us())
        self._head = ReportHead(portal.kind.title, host, let_in_by, version("cel2crm"), marker, number, began)

    async def probe(self, points: frozenset[int], user: str, inner: str, file: ReportFile | None) -> None:
        """Run it; the report then has everything."""
        self.report.changed = self._keeper_of(file)
        async with self._let_in() as (tokens, server):
            await probe_portal(
                ProbeRequest(
                    portal=self._portal,
                    tokens=tokens,
                    pace=_pace_of(self._portal),
                    until=boot_seconds() + LIMIT_SECONDS,
                    marker=self._head.marker,
                    report=self.report,
                    number=self._head.number,
                    user=user,
                    inner=inner,
                    token_server=server,
                    points=points,
                )
            )

    def text(self, *, whole: bool) -> str:
        """The report as it is now."""
        return markdown(self._head, self.report.results, self.report.made, self.veil, whole=whole)

    def _keeper_of(self, file: ReportFile | None) -> Callable[[], None]:
        """Tells each point that is over, and keeps what is known so far."""
        told = 0
        failed = False

        def changed() -> None:
            nonlocal told, failed
            for one in self.report.results[told:]:
                add_remark(f"{one.point.number}  {one.point.question}  {LABELS[one.outcome]}")
            told = len(self.report.results)
            if file is None or failed:
                return
            try:
                file.keep(self.text(whole=False))
            except UserError as error:  # the probe goes on: what it made is still to be removed
                failed = True
                remark(f"warning: {error.problem}")

        return changed

    @asynccontextmanager
    async def _let_in(self) -> AsyncIterator[tuple[TokenSource | None, str]]:
        """The portal's tokens, and the server that issued them."""
        if self._portal.oauth is None or self._portal.token is not None or self._portal.token_file is not None:
            yield None, ""
            return
        async with token_store.open_store(self._settings) as store, kept_tokens(self._portal, store) as tokens:
            yield _Remembered(tokens, self.veil), self._server_of(store)

    def _server_of(self, store: CredentialStore) -> str:
        try:
            known = store.get(key_of(self._portal))
        except Unreadable:
            return ""  # the first request says so
        if known is None:
            return ""
        self.veil.hide(known.pair.access, known.pair.refresh)
        return known.pair.server


class _Remembered:
    """Tokens that the veil knows (a TokenSource): none of them may stand in a report."""

    def __init__(self, tokens: TokenSource, veil: Veil) -> None:
        self._tokens = tokens
        self._veil = veil

    async def token(self, until: BootSeconds) -> Token | RetryLater | PortalBlocked:
        """See TokenSource."""
        found = await self._tokens.token(until)
        self._veil.hide(found.access if isinstance(found, Token) else None)
        return found

    async def after(self, rejected: Token, until: BootSeconds) -> Token | RetryLater | PortalBlocked | None:
        """See TokenSource."""
        found = await self._tokens.after(rejected, until)
        self._veil.hide(found.access if isinstance(found, Token) else None)
        return found


def _veil_of(portal: PortalSettings, *, show_host: bool) -> Veil:
    """What no report may tell. Raises SettingsError for a secret that cannot be read, before anything is sent."""
    where, webhook = f"portals.{portal.name}", as_url(_webhook_of(portal))
    own = _host_of(portal)
    hosts = tuple(dict.fromkeys(host for host in (own, webhook.host) if host))
    veil = Veil() if show_host else Veil(hosts, veiled_host(own, portal.kind.cloud))
    veil.hide(next((part for part in reversed(webhook.parts) if part.strip("/")), ""))
    if portal.token is not None or portal.token_file is not None:
        veil.hide(secret(portal.token, portal.token_file, f"{where}.token"))
    if (oauth := portal.oauth) is not None:
        veil.hide(secret(oauth.client_secret, oauth.client_secret_file, f"{where}.oauth.client_secret"))
    return veil


def _webhook_of(portal: PortalSettings) -> str:
    """The address of the incoming webhook; empty: the settings name none."""
    if portal.webhook_url is None and portal.webhook_url_file is None:
        return ""
    return secret(portal.webhook_url, portal.webhook_url_file, f"portals.{portal.name}.webhook_url")


def _host_of(portal: PortalSettings) -> str:
    return as_url(portal.url or _webhook_of(portal)).host or ""


def _let_in_by(portal: PortalSettings) -> str:
    if portal.token is not None or portal.token_file is not None:
        return "a token"
    return "an incoming webhook" if portal.oauth is None else "OAuth"


def _pace_of(portal: PortalSettings) -> Pace:
    """The portal's rate."""
    rate = portal.rate
    limiter = AsyncLimiter(rate.burst, rate.burst / rate.per_second)
    return limiter.acquire
