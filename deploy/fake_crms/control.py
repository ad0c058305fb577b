"""The control interface under /_fake/: how tests and the demo control a portal that runs as a process of its
own.

    GET  entries | orphans | popups   what a user of the CRM sees; begun and never finished; cards that popped up
    GET  summary | log                counts; requests with operation, fault and status, secrets masked
    GET  faults, POST faults {..}     the fields of faults.Fault; DELETE faults or faults/<id> ends them
    GET  settings, POST settings {..} what `live_settings` of the portal names
    POST restart {"seconds": 2}       killed, and back after so long with what its state folder holds
    POST away {"seconds": 5}          nobody listens for so long, then again on the same port
    POST clock {"advance": 3600}      set the portal's clock ahead
    POST expire-tokens | authorise    end all access tokens; a code for grant type authorization_code
    POST reset                        no calls, no faults, no log; tokens stay

Reachable from this machine only, without a secret: a fake portal has nothing to protect. A wrong command is answered
400 {"error": ..}.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from deploy.fake_crms.portal import Portal

Handler = Callable[[Portal, dict[str, Any]], Awaitable[object] | object]


def _reset(portal: Portal, _: dict[str, Any]) -> object:
    portal.reset()
    return {"done": True}


def _order_fault(portal: Portal, wanted: dict[str, Any]) -> object:
    return portal.faults.order(wanted).as_json()


def _settings(portal: Portal, changes: dict[str, Any]) -> object:
    portal.change_settings(**changes)
    return portal.settings()


def _clock(portal: Portal, wanted: dict[str, Any]) -> object:
    seconds = wanted.get("advance")
    if not isinstance(seconds, int | float):
        raise ValueError("give 'advance', the seconds by which the portal's clock is set ahead")
    portal.advance_clock(seconds)
    return {"now": portal.now()}


def _expire_tokens(portal: Portal, _: dict[str, Any]) -> object:
    portal.tokens.expire_access()
    return {"done": True}


def _authorise(portal: Portal, _: dict[str, Any]) -> object:
    return {"code": portal.authorise()}


def _summary(portal: Portal, _: dict[str, Any]) -> object:
    return {
        "portal": portal.name,
        "entries": len(portal.entries()),
        "orphans": len(portal.orphans()),
        "popups": len(portal.popups()),
        "requests": len(portal.log),
        "by_operation": _counted(portal, 0),
        "by_fault": _counted(portal, 1),
        "now": portal.now(),
    }


def _counted(portal: Portal, part: int) -> dict[str, int]:
    counted: dict[str, int] = {}
    for names, count in portal.requests.items():
        if names[part]:
            counted[names[part]] = counted.get(names[part], 0) + count
    return counted


_QUESTIONS: dict[str, Handler] = {
    "entries": lambda portal, _: [entry.as_json() for entry in portal.entries()],
    "orphans": lambda portal, _: portal.orphans(),
    "popups": lambda portal, _: portal.popups(),
    "log": lambda portal, _: list(portal.log),
    "faults": lambda portal, _: portal.faults.as_json(),
    "settings": lambda portal, _: portal.settings(),
    "summary": _summary,
}
_COMMANDS: dict[str, Handler] = {
    "faults": _order_fault,
    "reset": _reset,
    "settings": _settings,
    "clock": _clock,
    "expire-tokens": _expire_tokens,
    "authorise": _authorise,
}


def add_routes(app: web.Application, portal: Portal) -> None:
    """Put the control interface of `portal` into `app`."""

    def bound(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 (a peer, not a listener)
                return web.json_response({"error": "the control interface answers this machine only"}, status=403)
            try:
                wanted = await request.json() if request.can_read_body else {}
                if not isinstance(wanted, dict):
                    raise ValueError("send a JSON object")
                answer = handler(portal, wanted)
                if isinstance(answer, Awaitable):
                    answer = await answer
            except json.JSONDecodeError as error:
                return web.json_response({"error": f"the body is not JSON: {error}"}, status=400)
            except ValueError as error:
                return web.json_response({"error": str(error)}, status=400)
            return web.json_response(answer)

        return handle

    async def away(request: web.Request) -> web.Response:
        if (seconds := await _seconds(request)) is None:
            return _no_seconds()
        await portal.go_away(seconds, keep=request.transport)
        return _closing_response({"away_for": seconds})

    async def restart(request: web.Request) -> web.Response:
        if (seconds := await _seconds(request)) is None:
            return _no_seconds()
        await portal.restart(seconds, keep=request.transport)
        return _closing_response({"restarts_in": seconds})

    async def end_faults(request: web.Request) -> web.Response:
        wanted = request.match_info.get("id")
        portal.faults.clear(int(wanted) if wanted else None)
        return web.json_response(portal.faults.as_json())

    app.add_routes([web.get(f"/_fake/{name}", bound(handler)) for name, handler in _QUESTIONS.items()])
    app.add_routes([web.post(f"/_fake/{name}", bound(handler)) for name, handler in _COMMANDS.items()])
    app.add_routes([web.post("/_fake/away", away), web.post("/_fake/restart", restart)])
    app.add_routes([web.delete("/_fake/faults", end_faults), web.delete(r"/_fake/faults/{id:\d+}", end_faults)])


async def _seconds(request: web.Request) -> float | None:
    wanted = await request.json() if request.can_read_body else {}
    seconds = wanted.get("seconds") if isinstance(wanted, dict) else None
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def _no_seconds() -> web.Response:
    remedy = "give 'seconds', a number above 0: a portal that is away cannot be called back through this interface"
    return web.json_response({"error": remedy}, status=400)


def _closing_response(answer: dict[str, float]) -> web.Response:
    response = web.json_response(answer)
    response.force_close()
    return response
