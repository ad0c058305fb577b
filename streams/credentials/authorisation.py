"""Let the product in by OAuth: the code that a person gives, and the pair of tokens that it brings."""

from yarl import URL

from streams.crm.shared.token_vendor import TokenVendor
from streams.crm.shared.tokens import GrantRefused, Pair
from streams.delivery.answers import OutcomeUnknown, PortalBlocked, RetryLater
from streams.errors import UserError
from streams.http.web_address import as_url, same_cloud
from streams.settings import PortalSettings


def code_of(text: str, vendor: TokenVendor, state: str) -> str:
    """The code out of what a person gave: the code alone, or the whole address to which the browser was sent.

    Raises UserError: nothing given, an error of the vendor's, another portal's code, or an answer to an older question.
    """
    text = text.strip()
    if not text:
        raise UserError("no code was given")
    if "://" not in text:
        if any(sign.isspace() for sign in text):
            raise UserError("that is not a code", "Give the code alone, or the whole address from the browser.")
        return text
    query = as_url(text).query
    if "code" not in query:
        why = query.get("error_description") or query.get("error")
        raise UserError(f"the address holds no code{f': {why}' if why else ''}", "Open the address once more.")
    where = query.get("domain") or query.get("referer")
    theirs = URL.build(scheme=vendor.url.scheme, authority=where) if where else vendor.url
    if not same_cloud(vendor.url, theirs, vendor.portal.kind.cloud):
        raise UserError(f"the code is of another portal: {where}", f"portals.{vendor.portal.name}.url is {vendor.url}.")
    if query.get("state", state) != state:
        raise UserError("the address is not the answer to this question", "Open the address that was shown last.")
    return query["code"]


def server_of(text: str, vendor: TokenVendor) -> str:
    """The authorisation server that the address names to which the browser was sent; empty: it names none.

    Raises UserError: a host that is none of the vendor's, where no token may go.
    """
    named = as_url(text).query.get("server_domain") if "://" in text else None
    if not named or not vendor.servers:
        return ""
    if not vendor.known_server(named):
        raise UserError(
            f"the address names {named} as the server of tokens, which is none of {vendor.portal.kind.title}'s",
            f"Known: {', '.join(vendor.servers)}. Get another code from the portal itself.",
        )
    return named


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
