"""Point 2 of the probe of a Bitrix24 portal: which of the vendor's two authorisation servers serves it.

Each is asked to renew a token that never was: a server that knows the application says that the token is not good
(`invalid_grant`), one that does not says so of the application (`wrong_client`). No token is used up by it. The client
secret goes to the vendor's own two hosts and to no other.
"""

from streams.crm.bitrix24.tokens import Bitrix24Tokens
from streams.crm.shared.probe import PREFIX, CannotProbe, FakeBehaviour, Outcome, Point, PointResult, ProbeRequest
from streams.crm.shared.tokens import GrantRefused, TokenAnswer
from streams.delivery.answers import PortalBlocked
from streams.http.request import session

SERVER = Point(
    2,
    "Which authorisation server serves this portal?",
    FakeBehaviour(
        "deploy/fake_crms/bitrix24/config.py", "other_server_knows", "the one that issued its tokens, and only that one"
    ),
)
NO_TOKEN = f"{PREFIX}no-token"


async def which_server(request: ProbeRequest) -> PointResult:
    """Ask both. Raises CannotProbe: neither knows the application, or the one that matters is away."""
    portal = request.portal
    if portal.oauth is None:
        words = "the portal is not let in by OAuth: set portals[].oauth, and run `cel2crm portal authorise`"
        return PointResult(SERVER, Outcome.LEFT_OUT, words)
    if portal.oauth.token_endpoint is not None:
        words = "the settings name one address for tokens (oauth.token_endpoint): leave it out to try the vendor's two"
        return PointResult(SERVER, Outcome.LEFT_OUT, words)
    vendor = Bitrix24Tokens(portal)
    ours = request.token_server or vendor.endpoint.host or ""
    said: dict[str, TokenAnswer] = {}
    async with session() as http:
        for server in sorted({*vendor.servers, ours}):
            await request.pace()
            said[server] = await vendor.refresh(http, NO_TOKEN, request.until, server)
    knowing = [server for server, answer in said.items() if isinstance(answer, GrantRefused)]
    named = "issued the tokens" if request.token_server else "is the one for the portal's domain"
    details = (f"{ours} {named}", *(f"{server}: {_words_of(answer)}" for server, answer in said.items()))
    return _judged(ours, said, knowing, details)


def _judged(ours: str, said: dict[str, TokenAnswer], knowing: list[str], details: tuple[str, ...]) -> PointResult:
    if knowing == [ours]:
        return PointResult(SERVER, Outcome.SAME, f"{ours}", details=details)
    if ours in knowing:
        return PointResult(SERVER, Outcome.DIFFERENT, "both know it", "tokens may be renewed at either", details)
    if knowing and isinstance(said[ours], PortalBlocked):
        follows = f"set oauth.token_endpoint to https://{knowing[0]}/oauth/token/, and tell us"
        return PointResult(SERVER, Outcome.DIFFERENT, f"{knowing[0]}, and not {ours}", follows, details)
    raise CannotProbe(f"no server could be told to serve it: {'; '.join(details)}")


def _words_of(answer: TokenAnswer) -> str:
    if isinstance(answer, GrantRefused):
        return f"knows the application ({answer.why})"
    why = getattr(answer, "why", "it issued a token for one that never was")
    return f"does not know the application: {why}" if isinstance(answer, PortalBlocked) else f"cannot be told: {why}"
