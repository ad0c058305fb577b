"""Faults as the sender sees them: what arrives of an answer, or what arrives instead."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct

from aiohttp import web

from deploy.fake_crms.exchange import JSON, Answer, Inbound
from deploy.fake_crms.faults import VENDOR_MODES, Fault
from deploy.fake_crms.portal import Portal

PROXY_PAGE = (
    "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
)


BROKEN_HTTP = {
    "half_head": b"HTTP/1.1 200 OK\r\nContent-Type: applic",
    "bad_chunks": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'zz\r\n{"result": {}}\r\n0\r\n\r\n',
}
"""Answers that are not valid HTTP."""
CUT_OFF_MODES = frozenset({"reset", "lost_answer", "late_lost", "refuse", "restart", "hang", *BROKEN_HTTP})


def _redirect_target(portal: Portal, fault: Fault) -> str:
    return (fault.location or f"http://localhost:{portal.port}").rstrip("/")


def redirect_followed(portal: Portal, request: web.Request, fault: Fault) -> bool:
    """Whether a request has followed the redirection of a `moved` fault, so that it is served."""
    return fault.mode == "moved" and _redirect_target(portal, fault).endswith("//" + request.headers.get("Host", ""))


async def answer_with_fault(
    portal: Portal, request: web.Request, inbound: Inbound, fault: Fault
) -> web.StreamResponse | None:
    """Answer a request as the fault demands; None if the connection was cut."""
    if fault.mode in ("late", "late_lost"):
        await portal.pause(fault.seconds)
    done = portal.answer(inbound) if fault.takes_effect else None
    if fault.mode in CUT_OFF_MODES:
        await _cut_off(portal, request, fault)
        return None
    if (page := _page_instead(portal, request, fault)) is not None:
        return page
    match fault.mode:
        case "slow":
            await portal.pause(fault.seconds)
        case "duplicate":
            done = portal.answer(inbound)
        case "duplicate_later":
            portal.answer_again(inbound, fault.seconds or 0.0)
        case "half_answer":
            return await _half(request, done or portal.answer(inbound))
        case "other_status":
            return response(dataclasses.replace(done or portal.answer(inbound), status=fault.status or 203))
    if fault.mode in VENDOR_MODES:
        return response(_with_overrides(portal.vendor_error(fault.mode, inbound, fault), fault))
    return response(done or portal.answer(inbound))


async def _cut_off(portal: Portal, request: web.Request, fault: Fault) -> None:
    """End the connection without a whole answer."""
    match fault.mode:
        case "refuse":
            await portal.go_away(fault.seconds)
        case "restart":
            await portal.restart(fault.seconds or 0.0)
        case "half_head" | "bad_chunks":
            _cut_after(request, BROKEN_HTTP[fault.mode])
        case "hang":
            await portal.pause(fault.seconds)
            _cut(request)
        case _:
            _cut(request)


def _page_instead(portal: Portal, request: web.Request, fault: Fault) -> web.Response | None:
    """An answer that does not come from the portal; None if the fault asks for none."""
    match fault.mode:
        case "html":
            return web.Response(status=fault.status or 502, text=PROXY_PAGE, content_type="text/html")
        case "gateway_json":
            return web.json_response({"message": "upstream timed out"}, status=fault.status or 504)
        case "garbage200":
            return web.Response(status=fault.status or 200, body=b'{"result": {"CALL_', content_type="application/json")
        case "empty200":
            return web.Response(status=fault.status or 200)
        case "moved":
            there = _redirect_target(portal, fault) + str(request.rel_url)
            return web.Response(status=fault.status or 302, headers={"Location": there})
    return None


def _with_overrides(answer: Answer, fault: Fault) -> Answer:
    headers = dict(answer.headers)
    in_body = isinstance(answer.body, dict) and "time" in answer.body and fault.mode == "429"  # Bitrix24's own way
    if fault.retry_after is not None and not in_body:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return dataclasses.replace(answer, status=fault.status or answer.status, headers=headers)


def response(answer: Answer) -> web.Response:
    """The answer as aiohttp sends it."""
    body = answer.encoded()
    headers = {**answer.headers, "Content-Type": answer.content_type} if body else answer.headers
    return web.Response(status=answer.status, body=body, headers=headers)


async def stop_accepting(listening: socket.socket) -> None:
    """Take no more connections, and begin the ones that were accepted; then the listening server may be closed.

    One that is accepted and not begun when its server is closed would be lost by asyncio with its socket open
    (`Server._attach` fails): its client would wait for an answer until its own time limit.
    """
    asyncio.get_running_loop().remove_reader(listening)
    for _ in range(2):  # its transport is made in the loop's next round, and the server knows it one later
        await asyncio.sleep(0)


def reset(transport: asyncio.BaseTransport) -> None:
    """Close so that the peer sees a reset, not an orderly end."""
    peer = transport.get_extra_info("socket")
    if peer is not None and not transport.is_closing():
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        reset(request.transport)


def _cut_after(request: web.Request, raw: bytes) -> None:
    transport = request.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.write(raw)
        transport.close()


async def _half(request: web.Request, answer: Answer) -> web.StreamResponse | None:
    body = answer.encoded()
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Length": str(len(body)), "Content-Type": JSON}
    )
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return None
