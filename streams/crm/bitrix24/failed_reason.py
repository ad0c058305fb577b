"""Bitrix24: the words for why a call failed (FAILED_REASON), in the language of the operator's rules."""

from collections.abc import Callable, Mapping

from streams.calls.result import CallResult
from streams.rules.texts import Text

TEXTS: Mapping[int, str] = {
    404: "number_out_of_service",
    405: "carrier_error",
    408: "did_not_answer",
    480: "did_not_answer",
    484: "invalid_number",
    486: "number_busy",
    488: "carrier_error",
    500: "carrier_error",
    603: "call_rejected",
}
"""Name of the text (streams/rules/texts.yaml) by result. A call that nobody answered although its result is 200, and
one that is processed the old way (0), was missed."""
MISSED = "missed_call"


def failed_reason(texts: Mapping[str, Text]) -> Callable[[CallResult], str]:
    """The function that gives a result's words, empty of an answered call. `texts`: those in force, by name."""

    def reason(result: CallResult) -> str:
        if result.answered:
            return ""
        text = texts.get(TEXTS.get(result.result, MISSED))
        return text.words if text is not None else ""

    return reason
