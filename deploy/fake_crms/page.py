"""The page of a portal: what a user of the CRM would see. Plain HTML, readable without JavaScript; what senders wrote
is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from html import escape as escape_html
from pathlib import Path
from typing import Any

from deploy.fake_crms.entry import Entry
from deploy.fake_crms.portal import Portal
from streams.printable import printable

MAX_ROWS = 200
REFRESH_SECONDS = 3
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def escape(text: str) -> str:
    """Text that senders chose, as HTML: no markup, and nothing that turns round or hides what stands beside it."""
    return escape_html(printable(text))


_ARROWS = {
    "incoming": "↙ incoming",
    "outgoing": "↗ outgoing",
    "callback": "↺ callback",
    "info": "✉ info call",
    "internal": "⇄ internal",
    "unknown": "? unknown",
}
_NUMBER = ' class="number"'
_MARKS = {"good": "✓", "missed": "✕", "failed": "!", "neutral": "•"}
_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def render(portal: Portal, query: Mapping[str, str]) -> str:
    """The page as HTML. The browser reloads it every few seconds unless `?refresh=off` is asked for."""
    entries = portal.entries()
    still = query.get("refresh") == "off"
    toggle = '<a href="/">Refresh by itself</a>' if still else '<a href="/?refresh=off">Stop refreshing</a>'
    refresh = "" if still else f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
    return (
        f'<!doctype html>\n<html lang="en" class="{escape(portal.name)}"><head><meta charset="utf-8">{refresh}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{len(entries)} calls · {escape(portal.title)}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{escape(portal.title)} · calls</h1>"
        f"<p>A stand-in for the CRM, for demo and tests. Times in UTC. {toggle}</p></header><main>"
        + _figures(portal, entries)
        + _calls(entries)
        + _orphans(portal.orphans())
        + _popups(portal.popups())
        + "</main></body></html>\n"
    )


def _figures(portal: Portal, entries: list[Entry]) -> str:
    by_status = Counter((entry.status, entry.words) for entry in entries)
    tones = {entry.status: entry.tone for entry in sorted(entries, key=lambda entry: entry.missed)}
    figures = [f"<li><b>{len(entries)}</b><span>calls</span></li>"]
    figures += [
        f"<li><b>{count}</b>{_pill(tones[status], status, words)}</li>"
        for (status, words), count in by_status.most_common()
    ]
    if portal.registers:
        figures.append(f"<li><b>{len(portal.orphans())}</b><span>begun, never finished</span></li>")
        figures.append(f"<li><b>{len(portal.popups())}</b><span>cards that popped up</span></li>")
    return f'<ul class="figures">{"".join(figures)}</ul>'


def _calls(entries: list[Entry]) -> str:
    newest = list(reversed(entries))[:MAX_ROWS]
    more = f"the newest {MAX_ROWS} of {len(entries)}" if len(entries) > MAX_ROWS else "newest first"
    head = f'<section tabindex="0" aria-label="Calls"><h2>Calls <small>{more}</small></h2>'
    if not newest:
        return head + '<p class="none">No calls yet.</p></section>'
    columns = "".join(
        f'<th scope="col"{_NUMBER if head == "Length" else ""}>{escape(head)}</th>'
        for head in ("Began", "Direction", "Client", "Colleague", "Length", "Status", "Came in", "Sender's id")
    )
    rows = "".join(_call_row(entry) for entry in newest)
    return f"{head}{_table('Calls, newest first', columns, rows)}</section>"


def _call_row(entry: Entry) -> str:
    text = f'<br><span class="soft">{escape(entry.text)}</span>' if entry.text else ""
    via = "" if entry.via in {"finish", "calls", "webhook"} else f'<br><span class="soft">{escape(entry.via)}</span>'
    return (
        f'<tr><td class="nowrap">{_time(entry.started_at)}</td>'
        f'<td class="nowrap">{_ARROWS[entry.direction]}{via}</td>'
        f'<td class="name">{escape(entry.phone)}</td><td class="name">{escape(entry.user)}</td>'
        f'<td class="number">{_length(entry.duration)}</td>'
        f"<td>{_pill(entry.tone, entry.status, entry.words)}{text}</td>"
        f'<td class="nowrap soft">{_time(entry.received_at, "%H:%M:%S")}</td>'
        f'<td class="wide soft">{escape(entry.external_id or "none")}</td></tr>'
    )


def _orphans(orphans: list[dict[str, Any]]) -> str:
    if not orphans:
        return ""
    note = "Registered and never finished: no user of the CRM sees these."
    cells = ("received_at", "direction", "phone", "user", "external_id")
    return _plain(
        "Begun, never finished", note, ("Registered", "Direction", "Client", "Colleague", "Sender's id"), cells, orphans
    )


def _popups(popups: list[dict[str, Any]]) -> str:
    if not popups:
        return ""
    note = (
        "Each opened a call card on somebody's screen, as SHOW=1 does. A delivery of finished calls should cause none."
    )
    return _plain("Cards that popped up", note, ("When", "On the screen of", "Call"), ("at", "user", "call_id"), popups)


def _plain(title: str, note: str, heads: tuple[str, ...], cells: tuple[str, ...], items: list[dict[str, Any]]) -> str:
    columns = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    rows = "".join(
        "<tr>" + "".join(f'<td class="wide">{_cell(name, item.get(name))}</td>' for name in cells) + "</tr>"
        for item in list(reversed(items))[:MAX_ROWS]
    )
    return (
        f'<section tabindex="0" aria-label="{escape(title)}"><h2>{escape(title)} <small>{len(items)}</small></h2>'
        f'<p class="note">{escape(note)}</p>'
        f"{_table(escape(title), columns, rows)}</section>"
    )


def _cell(name: str, value: object) -> str:
    return _time(str(value)) if name in {"at", "received_at"} else escape("none" if value is None else str(value))


def _time(iso: str, form: str = "%d %b %H:%M:%S") -> str:
    moment = datetime.fromisoformat(iso)
    return f'<time datetime="{escape(iso)}" title="{moment:%d %B %Y %H:%M:%S} UTC">{moment:{form}}</time>'


def _length(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _table(caption: str, columns: str, rows: str) -> str:
    return f"<table><caption>{caption}</caption><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"


def _pill(tone: str, status: str, words: str) -> str:
    """A status in words and colour; the mark serves those who do not see the colour."""
    label = f"{words} ({status})" if status else words
    return f'<span class="status {escape(tone)}"><span aria-hidden="true">{_MARKS[tone]}</span> {escape(label)}</span>'
