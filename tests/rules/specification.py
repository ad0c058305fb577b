"""The tables of docs/call-status.md as they stand there, and their reading: written without a look at the code."""

import re

CAUSES = range(128)
DIAL_STATUSES = ["", "ANSWER", "BUSY", "NOANSWER", "CANCEL", "CONGESTION", "CHANUNAVAIL", "DONTCALL", "TORTURE",
                 "INVALIDARGS"]  # fmt: skip
RESULTS = [0, 200, 404, 405, 408, 480, 484, 486, 488, 500, 603]
DIRECTIONS = ["incoming", "outgoing", "internal", "unknown"]

RESULT_TABLE = """
| 0 Undefined | | 0 Unknown: processed the old way |
| any | CANCEL | 480 Temporarily unavailable |
| any | CHANUNAVAIL, CONGESTION | 500 Server error |
| 1 Unallocated, 20 SubscriberAbsent | ANSWER | 200 Success |
| 1 Unallocated, 20 SubscriberAbsent | | 404 Not found |
| 16 NormalClearing | empty, ANSWER | 200 Success |
| 16 NormalClearing | NOANSWER | 408 Request timeout |
| 16 NormalClearing | BUSY | 486 Subscriber is busy |
| 17 UserBusy | | 486 Subscriber is busy |
| 18 NoUserResponse | | 408 Request timeout |
| 19 NoAnswer | | 480 Temporarily unavailable |
| 21 CallRejected | | 603 Call rejected |
| 26 AnsweredElsewhere | | 200 Success |
| 28 InvalidNumberFormat | | 484 Address incomplete |
| 34 NormalCircuitCongestion, 127 Interworking | | 500 Server error |
| 38 NetworkOutOfOrder | | 500 Server error |
| 44 RequestedChanUnavail | ANSWER | 200 Success |
| 44 RequestedChanUnavail | | 500 Server error |
| 58 BearerCapabilityNotAvail | | 488 Not acceptable |
| 66 ChanNotImplemented | ANSWER | 200 Success |
| 66 ChanNotImplemented | | 405 Method not supported |
"""

BITRIX24_TABLE = """
| 200 | incoming, not answered | 304 Missed call |
| 200 | otherwise | 200 Successful call |
| 404 | | 404 Wrong number |
| 405 | | 405 |
| 408 | | 304 Missed call |
| 480 | | 304 Missed call |
| 484 | | 484 This destination is not available |
| 486 | incoming, not answered | 304 Missed call |
| 486 | otherwise | 486 Busy |
| 488 | | 484 This destination is not available |
| 500 | | 500 Internal server error |
| 603 | | 603 Canceled |
| 0 | answered | 200 Successful call |
| 0 | not answered | 304 Missed call |
"""

KOMMO_TABLE = """
| 200 | incoming, not answered | 6 Did not get through | Missed call |
| 200 | otherwise | 4 Conversation took place | Success call |
| 404 | | 5 Wrong number | Number out of service |
| 408, 480 | | 3 Out of the office | Subscriber did not answer |
| 484 | | 5 Wrong number | Invalid number |
| 486 | incoming, not answered | 6 Did not get through | Number busy |
| 486 | otherwise | 7 Number busy | Number busy |
| 488 | | 5 Wrong number | Carrier error |
| 603 | | 2 Call back later | Call rejected |
| 0 | answered | 4 Conversation took place | none |
| 0 | not answered | 6 Did not get through | none |
"""

OUTCOME_TABLE = """
| any | answered | answered |
| 0, 200, 408, 480 | not answered | missed |
| 486, 603 | not answered | busy |
| 404, 405, 484, 488, 500 | not answered | failed |
"""


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]


def numbers(cell: str) -> list[int]:
    return [int(number) for number in re.findall(r"\b\d+\b", cell)]


def result_by_default(cause: int, status: str) -> int:
    """A row that names the dial status goes before one that leaves it blank; blank is whatever else."""
    blank = 0
    for causes, statuses, result in rows(RESULT_TABLE):
        if causes != "any" and cause not in numbers(causes):
            continue
        if (status or "empty") in statuses.split(", "):
            return numbers(result)[0]
        if not statuses:
            blank = numbers(result)[0]
    return blank


def result_by_letter(cause: int, status: str) -> int:
    """The preset `literal`: from top to bottom, the first that fits."""
    for causes, statuses, result in rows(RESULT_TABLE):
        fits = causes == "any" or cause in numbers(causes)
        if fits and (not statuses or (status or "empty") in statuses.split(", ")):
            return numbers(result)[0]
    return 0


def crm_cells(table: str, result: int, direction: str, answered: bool) -> list[str]:
    """The cells after the condition; a result without a row is processed the old way."""
    holds = {
        "": True,
        "otherwise": True,
        "answered": answered,
        "not answered": not answered,
        "incoming, not answered": direction == "incoming" and not answered,
    }
    of_result = [cells for cells in rows(table) if result in numbers(cells[0])]
    for _, condition, *told in of_result:
        if holds[condition]:
            return told
    assert result != 0
    return crm_cells(table, 0, direction, answered)


def outcome(result: int, answered: bool) -> str:
    if answered:
        return rows(OUTCOME_TABLE)[0][2]
    (told,) = [word for results, _, word in rows(OUTCOME_TABLE) if result in numbers(results)]
    return told


def bitrix24_status(result: int, direction: str, answered: bool) -> str:
    return crm_cells(BITRIX24_TABLE, result, direction, answered)[0].split()[0]


def kommo_status(result: int, direction: str, answered: bool) -> tuple[int, str | None]:
    status, text = crm_cells(KOMMO_TABLE, result, direction, answered)
    return int(status.split()[0]), None if text == "none" else text
