"""The probe of a Bitrix24 portal (shared/probe.py): points 1, 2, 3, 7 and 8 of docs/crms-live.md.

Facts: telephony.externalCall.register, .finish, oauth/token, limits (apidocs.bitrix24.com); docs/crms.md.
"""

from itertools import pairwise

from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.errors import code_of, error_text, own_error
from streams.crm.bitrix24.probe_calls import ProbeCalls
from streams.crm.bitrix24.probe_servers import SERVER, which_server
from streams.crm.bitrix24.probe_traces import Traces
from streams.crm.bitrix24.steps import METHODS
from streams.crm.shared.probe import (
    CannotProbe,
    CrmProbe,
    FakeBehaviour,
    Outcome,
    Point,
    PointResult,
    ProbeRequest,
    tried,
)
from streams.delivery.answers import Answer, PortalBlocked, Succeeded, UserUnknown
from streams.errors import SettingsError
from streams.http.request import Reply
from streams.rules import CrmStatus
from streams.settings import PortalSettings

FAKE = "deploy/fake_crms/bitrix24"
WEBHOOK = Point(
    1,
    "Does telephony take an incoming webhook for register and finish?",
    FakeBehaviour(f"{FAKE}/config.py", "webhook_allowed", "no: WRONG_AUTH_TYPE"),
)
WINDOW = Point(
    3,
    "From when do the 30 minutes count in which a repeated register is the same call?",
    FakeBehaviour(f"{FAKE}/config.py", "window_from", "from CALL_START_DATE, not from the registration"),
)
OPERATING = Point(
    7,
    "How many seconds of work does a finish count for (480 in ten minutes)?",
    FakeBehaviour(f"{FAKE}/limits.py", "FINISH_SECONDS", "at most the 1.41 s of the vendor's sample"),
)
INNER = Point(
    8,
    "With which words is an inner number answered that nobody has?",
    FakeBehaviour(f"{FAKE}/config.py", "unknown_inner", "`USER_ID or USER_PHONE_INNER should be set`"),
)
MOST_SECONDS = 1.41
"""FINISH_SECONDS of the fake."""
OLD_SECONDS = 40 * 60
"""How long ago a call began that is older than the 30 minutes: no need to wait for them."""
SAMPLES = 5
"""Finishes that the seconds of work are told from."""
EXPECTED_WORDS = "user_id or user_phone_inner should be set"
FREE_INNERS = tuple(str(number) for number in range(9999, 9989, -1))
FIVE_DIGITS = "99999"


async def run(request: ProbeRequest) -> None:
    """See CrmProbe.run."""
    client = Bitrix24Client(request.portal, _no_status, request.tokens)
    try:
        await _Probe(client, request).run()
    finally:
        await client.close()


PROBE = CrmProbe(
    points=(WEBHOOK, SERVER, WINDOW, OPERATING, INNER),
    writes="some ten outgoing calls that nobody answered; their activities are removed again where the authorisation "
    "has the scope crm, the calls stay in the portal's call statistics",
    run=run,
)


def _no_status(_: object) -> CrmStatus:
    raise AssertionError("a probe's calls have a status of their own")


class _Probe:
    """One probe of one portal."""

    def __init__(self, client: Bitrix24Client, request: ProbeRequest) -> None:
        self._client = client
        self._request = request
        self._calls = ProbeCalls(client, request, "")

    async def run(self) -> None:
        request = self._request
        await tried(request, SERVER, lambda: which_server(request))
        scopes = await self._scopes()
        self._calls = ProbeCalls(self._client, request, await self._user())
        traces = Traces(self._calls, request, may="crm" in scopes)
        await traces.remove_earlier()
        await self._nobody_has_the_number()
        try:
            await tried(request, WEBHOOK, self._webhook)
            await tried(request, WINDOW, self._window)
            await tried(request, INNER, self._inner)
            await tried(request, OPERATING, self._operating)
        finally:
            await self._calls.finish_open()
            await traces.remove()

    async def _scopes(self) -> list[str]:
        reply = await self._calls.ask("scope", {})
        scopes = reply.document.get("result") if reply.status == 200 and isinstance(reply.document, dict) else None
        if not isinstance(scopes, list):
            raise CannotProbe(f"the portal does not take the authorisation: {error_text(reply)}")
        if "telephony" not in scopes:
            raise CannotProbe("the authorisation lacks the scope telephony")
        return [str(scope) for scope in scopes]

    async def _user(self) -> str:
        """The user whom test calls are given to."""
        known = self._request.user or self._request.portal.default_user
        if known:
            return known
        reply = await self._calls.ask("profile", {})
        owner = reply.document.get("result") if reply.status == 200 and isinstance(reply.document, dict) else None
        if not isinstance(owner, dict) or not owner.get("ID"):
            raise CannotProbe("it is not known whose the test calls are to be: give --user, or set default_user")
        return str(owner["ID"])

    async def _nobody_has_the_number(self) -> None:
        reply = await self._calls.ask(METHODS["client"], {"PHONE_NUMBER": self._request.number})
        known = reply.document.get("result") if reply.status == 200 and isinstance(reply.document, dict) else None
        if not isinstance(known, list):
            raise CannotProbe(f"whether somebody has the number of the test calls cannot be told: {error_text(reply)}")
        if known:
            raise CannotProbe("somebody in the CRM has the number of the test calls: give another one (--number)")

    async def _webhook(self) -> PointResult:
        """Point 1."""
        portal = self._request.portal
        if portal.webhook_url is None and portal.webhook_url_file is None:
            words = "the settings name no incoming webhook: set webhook_url_file, beside oauth or token, to try one"
            return PointResult(WEBHOOK, Outcome.LEFT_OUT, words)
        try:
            client = Bitrix24Client(_by_webhook(portal), _no_status)
        except SettingsError as error:
            raise CannotProbe(error.problem) from None
        try:
            return await self._by_webhook(client)
        finally:
            await client.close()

    async def _by_webhook(self, client: Bitrix24Client) -> PointResult:
        answer, reply = await self._calls.register(self._calls.next_call(), client=client)
        if not isinstance(answer, Succeeded):
            return _webhook_refused("register", answer, reply)
        finished, reply = await self._calls.finish(answer.ids["CALL_ID"], client=client)
        if not isinstance(finished, Succeeded):
            return _webhook_refused("finish", finished, reply)
        follows = "an incoming webhook will do on this portal, whatever the vendor's page says"
        return PointResult(WEBHOOK, Outcome.DIFFERENT, "yes: both methods took it", follows)

    async def _window(self) -> PointResult:
        """Point 3: the same register twice, for a call of now and for one that began 40 minutes ago."""
        young, old = self._calls.next_call(), self._calls.next_call(age_seconds=OLD_SECONDS)
        again_young = await self._calls.registered(young) == await self._calls.registered(young)
        again_old = await self._calls.registered(old) == await self._calls.registered(old)
        details = (
            f"a call of now, registered twice: {_same(again_young)}",
            f"a call that began 40 minutes ago, registered twice: {_same(again_old)}",
        )
        if not again_young:
            words = "a repeated register is another call, even at once"
            follows = "every register whose answer is lost leaves an orphan and runs the automations twice"
            return PointResult(WINDOW, Outcome.DIFFERENT, words, follows, details)
        if again_old:
            words, follows = "from the registration", "calls of long ago may be registered again like those of now"
            return PointResult(WINDOW, Outcome.DIFFERENT, words, follows, details)
        return PointResult(WINDOW, Outcome.SAME, "from CALL_START_DATE", details=details)

    async def _operating(self) -> PointResult:
        """Point 7: all finishes of the probe, and as many more as it takes."""
        while len(self._calls.operating) < SAMPLES:
            before = len(self._calls.operating)
            answer, reply = await self._calls.finish(await self._calls.registered(self._calls.next_call()))
            if not isinstance(answer, Succeeded):
                raise CannotProbe(f"a test call could not be finished: {error_text(reply)}")
            if len(self._calls.operating) == before:
                raise CannotProbe("the answers to finish do not tell `time.operating`")
        told = self._calls.operating
        costs = [after - before for before, after in pairwise(told) if after >= before]
        if not costs:
            raise CannotProbe("`time.operating` only fell: other programs of this authorisation work at the same time")
        mean = sum(costs) / len(costs)
        details = (f"`time.operating` after each finish: {', '.join(f'{each:.2f}' for each in told)}",)
        words = f"{mean:.2f} s each, {max(costs):.2f} s at most, of {len(costs)}"
        if mean <= MOST_SECONDS:
            return PointResult(OPERATING, Outcome.SAME, words, details=details)
        follows = (
            f"no more than {480 / mean:.0f} calls in ten minutes can be delivered; the product slows down by itself"
        )
        return PointResult(OPERATING, Outcome.DIFFERENT, words, follows, details)

    async def _inner(self) -> PointResult:
        """Point 8: at register, with four digits and with five, and at finish."""
        inner, remark = await self._free_inner()
        said = []
        for number in (inner, FIVE_DIGITS):
            answer, reply = await self._calls.register(self._calls.next_call(extension=number), inner=True)
            said.append((f"register, {len(number)} digits", answer, reply))
        call_id = await self._calls.registered(self._calls.next_call())
        answer, reply = await self._calls.finish(call_id, inner=inner)
        said.append(("finish", answer, reply))
        details = tuple(f"{where}: {_words_of(answer, reply)}" for where, answer, reply in said)
        details = (*details, *([remark] if remark else []))
        if all(EXPECTED_WORDS in error_text(reply).lower() for _, _, reply in said):
            return PointResult(INNER, Outcome.SAME, "with the same words", details=details)
        if all(isinstance(answer, UserUnknown) for _, answer, _ in said):
            follows = "such calls go to default_user all the same"
        elif any(isinstance(answer, Succeeded) for _, answer, _ in said):
            follows = "calls of an extension that nobody has go to somebody whom the portal chose"
        else:
            follows = "calls of an extension that nobody has become dead letters, one by one"
        return PointResult(INNER, Outcome.DIFFERENT, "not with these words", follows, details)

    async def _free_inner(self) -> tuple[str, str]:
        """An inner number that nobody has, and a remark where that could not be asked."""
        if self._request.inner:
            return self._request.inner, ""
        for number in FREE_INNERS:
            reply = await self._calls.ask("user.get", {"FILTER": {"UF_PHONE_INNER": number}})
            people = reply.document.get("result") if reply.status == 200 and isinstance(reply.document, dict) else None
            if not isinstance(people, list):
                return number, f"that nobody has the inner number {number} could not be asked (--inner gives another)"
            if not people:
                return number, ""
        raise CannotProbe(f"{FREE_INNERS[-1]} to {FREE_INNERS[0]} are all taken: give an inner number by --inner")


def _by_webhook(portal: PortalSettings) -> PortalSettings:
    return portal.model_copy(update={"oauth": None, "token": None, "token_file": None})


def _webhook_refused(method: str, answer: Answer, reply: Reply) -> PointResult:
    if own_error(reply) and code_of(reply) == "WRONG_AUTH_TYPE":
        words = f"no: {method} answers {error_text(reply)} (HTTP {reply.status})"
        return PointResult(WEBHOOK, Outcome.SAME, words)
    if isinstance(answer, PortalBlocked):
        raise CannotProbe(f"the webhook itself is not taken: {answer.why}")
    raise CannotProbe(f"{method} by webhook: {error_text(reply)}")


def _words_of(answer: Answer, reply: Reply) -> str:
    if isinstance(answer, Succeeded):
        return "taken"
    return f"HTTP {reply.status} {error_text(reply)} (to the product: {answer.code})"


def _same(again: bool) -> str:
    return "the same CALL_ID" if again else "another CALL_ID"
