"""Kommo's incoming leads of type sip: added, listed, accepted, declined.

Sources: developers.kommo.com (incoming leads, 2026); fields also from SipMetadata.php of the official PHP SDK (`from`
is deprecated, `phone` is who called).
"""

from __future__ import annotations

import re

from deploy.fake_crms.exchange import Answer, php_params
from deploy.fake_crms.journal import Event
from deploy.fake_crms.kommo.contacts import wrong_pipelines
from deploy.fake_crms.kommo.requests import branch, paged, phones_of, problem, read_json, request_id, sip_errors
from deploy.fake_crms.kommo.state import ACCOUNT_ID, PIPELINE_ID, Request

SETTLE = re.compile(r"/api/v4/leads/unsorted/(?P<uid>\w+)/(?P<how>accept|decline)")


def operation(method: str, path: str) -> str | None:
    """The operation on one incoming lead: accept_unsorted (POST), decline_unsorted (DELETE); None for other paths."""
    match = SETTLE.fullmatch(path)
    if match is None or (method, match["how"]) not in {("POST", "accept"), ("DELETE", "decline")}:
        return None
    return f"{match['how']}_unsorted"


def add(request: Request) -> Answer:
    """Add incoming leads, which a person accepts or declines: POST /api/v4/leads/unsorted/sip. The call of each is
    shown with it."""
    items = read_json(request.inbound)
    if not isinstance(items, list) or not items:
        return problem(400, "Request validation failed: an array of incoming leads is expected")
    refused = [
        {"request_id": request_id(item, at), "errors": errors}
        for at, item in enumerate(items)
        if (errors := sip_errors(item))
    ]
    if refused:
        return problem(400, "Request validation failed", **{"validation-errors": refused})
    if (wrong := wrong_pipelines(items)) is not None:
        return wrong
    added = []
    for at, item in enumerate(items):
        meta = item["metadata"]
        call = {
            "direction": "inbound",
            "duration": meta["duration"],
            "source": item["source_name"],
            "phone": str(meta["phone"]),
        }
        call |= {name: meta[name] for name in ("uniq", "link", "call_responsible") if meta.get(name)}
        call |= {"created_at": meta["called_at"], "call_status": 6 if not meta["duration"] else 4}
        if request.config.card_shows == "line":
            call["phone"] = str(meta.get("call_responsible") or meta["phone"])
        lead = request.account.next_lead
        note = request.account.add_call(call, lead, request.now(), entity="lead", via="unsorted")
        uid = f"{note['id']:032x}"
        request.account.add_unsorted(uid, lead, item, request.now())
        answer = {"uid": uid, "account_id": ACCOUNT_ID, "request_id": request_id(item, at)}
        added.append({**answer, "_embedded": {"leads": [{"id": lead}]}})
    return Answer(200, {"_total_items": len(added), "_embedded": {"unsorted": added}})


def find(request: Request) -> Answer:
    """List incoming leads that nobody has accepted or declined, newest first if so ordered: GET
    /api/v4/leads/unsorted."""
    query = php_params(request.inbound.query)
    wanted = branch(query, "filter")
    categories, uids = _many(wanted.get("category")), _many(wanted.get("uid"))
    indexed = request.indexed_until()
    found = [
        {
            "uid": one["uid"],
            "source_uid": one["item"]["source_uid"],
            "source_name": one["item"]["source_name"],
            "category": "sip",
            "created_at": one["item"].get("created_at") or int(one["at"]),
            "metadata": one["item"]["metadata"],
            "account_id": ACCOUNT_ID,
            "_embedded": {"leads": [{"id": one["lead"]}], "contacts": []},
        }
        for one in request.account.unsorted
        if "settled" not in one
        and one["at"] <= indexed
        and (not categories or "sip" in categories)
        and (not uids or one["uid"] in uids)
    ]
    if branch(query, "order").get("created_at") == "desc":
        found.reverse()
    return paged(request.url, request.inbound, query, "unsorted", found)


def settle(request: Request, *, accept: bool) -> Answer:
    """Accept an incoming lead, which makes its contact and leaves its lead, or decline it, which leaves nothing: POST
    /api/v4/leads/unsorted/{uid}/accept, DELETE .../decline."""
    match = SETTLE.fullmatch(request.inbound.path.rstrip("/"))
    one = next((each for each in request.account.unsorted if match and each["uid"] == match["uid"]), None)
    if one is None or "settled" in one:
        return problem(404, "Unsorted not found")
    contact = _contact(one, request) if accept else None
    request.account.settle_unsorted(one["uid"], "accepted" if accept else "declined")
    embedded = {
        "leads": [{"id": one["lead"]}],
        "contacts": [] if contact is None else [{"id": contact}],
        "companies": [],
    }
    settled = {"uid": one["uid"], "category": "sip", "pipeline_id": PIPELINE_ID, "created_at": int(one["at"])}
    return Answer(200, {**settled, "_embedded": embedded})


def _contact(one: Event, request: Request) -> int | None:
    """The id of the contact that came with an incoming lead."""
    cards = (one["item"].get("_embedded") or {}).get("contacts") or []
    if not cards:
        return None
    return request.account.add_contact(str(cards[0].get("name") or ""), phones_of(cards[0]), request.now())


def _many(value: object) -> list[str]:
    return [] if value is None else [str(one) for one in (value if isinstance(value, list) else [value])]
