"""What a person does to let the product in: where to go, the code, and whether the new tokens are good for the work."""

from typing import Any

import aiohttp
from yarl import URL

from streams.credentials.record import Pair
from streams.credentials.vendors import GrantRefused, TokenVendor
from streams.crm.bitrix24.steps import LOOKUP_METHOD
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.errors import UserError
from streams.http.request import Ending, Reply, TooLate, request, same_house
from streams.settings import PortalSettings

SCOPE = "telephony"
BITRIX24_REDIRECT = "https://localhost/"


def instructions(vendor: TokenVendor, state: str) -> list[str]:
    """What to do at the vendor, in lines."""
    redirect = vendor.oauth.redirect_uri
    asked = {"client_id": vendor.oauth.client_id, "state": state}
    address = vendor.url.with_path("/oauth/authorize/").with_query(asked)
    if vendor.portal.crm == "bitrix24":
        return [
            "Once, as an administrator of the portal: Developer resources, Other, Local application, with",
            f"  the scope {SCOPE}, `Uses only API`, and the handler address {redirect or BITRIX24_REDIRECT}",
            "  (nothing has to listen there). Its code and key are portals[].oauth.client_id and client_secret.",
            "Now open this address in a browser, as a person who may see the statistics of calls:",
            "",
            f"  {address}",
            "",
            "The browser ends at the handler address, perhaps with an error page. Copy the whole address from its",
            "address bar within 30 seconds: it holds the code.",
        ]
    return [
        f"As an administrator of {vendor.url.host}: Settings, Integrations, your private integration",
        "  (if there is none: Create integration, with access to the account's data, and any redirect address),",
        "  tab Keys and scopes. Its integration ID, secret key and redirect address are portals[].oauth.client_id,",
        f"  client_secret and redirect_uri{f' ({redirect})' if redirect else ''}.",
        "Copy the authorization code: it is good for 20 minutes, once.",
    ]


def code_of(text: str, vendor: TokenVendor, state: str) -> str:
    """The code out of what a person gave: the code alone, or the whole address to which the browser was sent.

    Raises UserError: nothing given, an error of the vendor's, another portal's code, or an answer to an older question.
    """
    text = text.strip()
    if not text:
        raise UserError("no code was given")
    if "://" not in text:
        if any(sign.isspace() for sign in text):
            raise UserError("that is no code", "Give the code alone, or the whole address from the browser.")
        return text
    try:
        query = URL(text).query
    except ValueError:
        query = URL().query
    if "code" not in query:
        why = query.get("error_description") or query.get("error")
        raise UserError(f"the address holds no code{f': {why}' if why else ''}", "Open the address once more.")
    where = query.get("domain") or query.get("referer")
    if where and not same_house(vendor.url, URL.build(scheme=vendor.url.scheme, authority=where)):
        raise UserError(f"the code is of another portal: {where}", f"portals.{vendor.portal.name}.url is {vendor.url}.")
    if query.get("state", state) != state:
        raise UserError("the address is not the answer to this question", "Open the address that was shown last.")
    return query["code"]


def pair_of(answer: object, portal: PortalSettings) -> Pair:
    """The pair that a code brought. Raises UserError where it brought none."""
    match answer:
        case Pair():
            return answer
        case GrantRefused():
            raise UserError(
                f"the code is not taken ({answer.why})", "Codes are good once and not for long: get another one."
            )
        case PortalBlocked() | RetryLater() | OutcomeUnknown():
            raise UserError(f"no tokens for portal {portal.name}: {answer.why}")
    raise TypeError(answer)


async def check(vendor: TokenVendor, http: aiohttp.ClientSession, pair: Pair, until: float) -> str:
    """Ask what harms nothing, as the deliveries will ask; who answered, in words. Raises UserError."""
    if vendor.portal.crm == "bitrix24":
        return await _check_bitrix24(vendor, http, pair, until)
    headers = {"Authorization": f"Bearer {pair.access}"}
    ending = await request(http, "GET", vendor.url / "api" / "v4" / "account", until=until, headers=headers)
    document = _good(ending, vendor)
    return f"account {document.get('name') or document.get('subdomain') or vendor.url.host}"


async def _check_bitrix24(vendor: TokenVendor, http: aiohttp.ClientSession, pair: Pair, until: float) -> str:
    base = URL(pair.endpoint) if pair.endpoint else vendor.url / "rest"
    auth = {"auth": pair.access}
    granted = _good(await request(http, "POST", base / "scope.json", until=until, json=auth), vendor).get("result")
    if not isinstance(granted, list) or SCOPE not in granted:
        raise UserError(
            f"the application of portal {vendor.portal.name} lacks the scope {SCOPE}",
            "Add it to the application in the portal, then authorise again.",
        )
    nothing = {"FILTER": {"EXTERNAL_CALL_ID": "cel2crm-authorise"}, **auth}
    _good(await request(http, "POST", base / f"{LOOKUP_METHOD}.json", until=until, json=nothing), vendor)
    return f"portal {base.host}, scopes {', '.join(map(str, granted))}"


def _good(ending: Ending, vendor: TokenVendor) -> dict[str, Any]:
    name = vendor.portal.name
    if not isinstance(ending, Reply):
        why = "not asked in time" if isinstance(ending, TooLate) else ending.why
        raise UserError(f"portal {name} cannot be asked: {why}", "Nothing was stored: authorise again.")
    document = ending.document if isinstance(ending.document, dict) else {}
    if ending.status != 200:
        words = [str(document[key]) for key in ("error", "error_description", "title", "detail") if document.get(key)]
        raise UserError(
            f"portal {name} does not take the new token: HTTP {ending.status} {': '.join(words)[:300]}".rstrip(),
            "Nothing was stored. Check portals[].url, the application's rights and those of the person who authorises.",
        )
    return document
