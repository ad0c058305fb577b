"""Bitrix24: register and finish of one call in one request, for the days when many calls wait.

The limit counts requests, so that an outage drains up to twice as fast, until the limit on seconds of work (480 in ten
minutes a method: some 340 calls in the vendor's own example). More calls in one batch would not help: their work counts
each, and one lost answer would leave all of them in doubt. A proxy that repeats a POST by itself would finish the call
twice: alone, a second finish finds no call. Such a proxy needs `bitrix24_batch: never`.

Facts: batch (apidocs.bitrix24.com); docs/crms.md. It answers 200 always, with errors by command.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from streams.crm.bitrix24.answers import answer_of
from streams.crm.bitrix24.errors import LIMITS, code_of
from streams.crm.bitrix24.steps import METHODS
from streams.delivery.answers import Answer, OutcomeUnknown, PartlyDone, RetryLater, Succeeded
from streams.http.request import Ending, Reply

REGISTER, FINISH = "register", "finish"

STATUS_OF = {"INTERNAL_SERVER_ERROR": 500, "ERROR_UNEXPECTED_ANSWER": 500}
"""A command's error comes without an HTTP status; 400 stands for the others."""


def batch_fields(sent: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The fields of the batch: halt at the first error, so that nothing is finished that was not registered."""
    commands = {step: f"{METHODS[step]}?{urlencode(sent[step])}" for step in (REGISTER, FINISH)}
    return {"halt": 1, "cmd": commands}


def batch_answer_of(ending: Ending, now: int, sent: Mapping[str, dict[str, object]]) -> Answer:
    """The answer that the end of a batch proves. Where the finish failed, the call goes on from its registration."""
    document = ending.document if isinstance(ending, Reply) else None
    inner = document.get("result") if isinstance(document, dict) else None
    if not isinstance(ending, Reply) or ending.status != 200 or not isinstance(inner, dict):
        answer = answer_of(REGISTER, ending, now, sent[REGISTER])
        if (
            isinstance(ending, Reply)
            and isinstance(answer, RetryLater)
            and ending.status >= 500
            and not _limited(ending)
        ):
            return OutcomeUnknown(answer.why)  # a register may be repeated; the finish with it may not
        return answer
    registered, finished = (_of_command(step, inner, now, sent[step]) for step in (REGISTER, FINISH))
    if not isinstance(registered, Succeeded):
        return registered
    if isinstance(finished, Succeeded):
        return Succeeded({**registered.ids, **finished.ids})
    if isinstance(finished, OutcomeUnknown):
        return finished  # registered, and nothing said of the finish
    return PartlyDone(REGISTER, registered.ids, getattr(finished, "why", ""))


def _limited(reply: Reply) -> bool:
    return code_of(reply) in LIMITS


def _of_command(step: str, inner: dict[str, Any], now: int, sent: dict[str, object]) -> Answer:
    """PHP writes an empty array as a list, so that either part may be one."""
    results, errors = inner.get("result"), inner.get("result_error")
    error = errors.get(step) if isinstance(errors, dict) else None
    if isinstance(error, dict):
        status = STATUS_OF.get(str(error.get("error") or "").upper(), 400)
        return answer_of(step, Reply(status, {}, error), now, sent)
    result = results.get(step) if isinstance(results, dict) else None
    return answer_of(step, Reply(200, {}, {"result": result}), now, sent)
