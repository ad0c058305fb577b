"""What another rule file would change, told by combination, condition and line."""

import pytest

from streams.rules import load_rules
from streams.rules.difference import differences, situations_in_words
from streams.rules.results import causes_in_words, statuses_in_words
from tests.rules.files import rules_of


def changes(text: str, before: str = "") -> list[tuple[str, str, str, str, str]]:
    found = differences(rules_of(before), rules_of(text))
    return [(each.table, each.what, each.before, each.after, each.by) for each in found]


def test_rules_alike_have_no_difference() -> None:
    assert differences(load_rules(), load_rules()) == []


def test_combinations_that_change_alike_are_one_line() -> None:
    unavailable = ("480 Temporarily unavailable", "own.yaml:2")
    assert sorted(changes("results:\n  - {cause: [16, 17, 18], status: [NOANSWER, BUSY], result: 480}\n")) == [
        ("results", "cause 17, dial status NOANSWER", "486 Subscriber is busy", *unavailable),
        ("results", "cause 18, dial status BUSY", "408 Request timeout", *unavailable),
        ("results", "causes 16, 18, dial status NOANSWER", "408 Request timeout", *unavailable),
        ("results", "causes 16-17, dial status BUSY", "486 Subscriber is busy", *unavailable),
    ]
    assert changes(
        "results:\n  - {cause: 4, result: 480}\n  - {cause: 5, result: 480}\n  - {cause: 6, result: 408}\n"
    ) == [
        ("results", f"cause {cause}, any dial status but CANCEL, CONGESTION, CHANUNAVAIL", "0 Unknown", after, by)
        for cause, after, by in (
            (4, "480 Temporarily unavailable", "own.yaml:2"),
            (5, "480 Temporarily unavailable", "own.yaml:3"),
            (6, "408 Request timeout", "own.yaml:4"),
        )
    ]


def test_preset_literal_gives_up_the_talk_and_takes_the_first_line() -> None:
    found = changes("preset: literal\n")
    assert found[0] == (
        "results", "a talk that lasted until hangup", "200 Success", "as the table says", "preset literal",
    )  # fmt: skip
    told = [each[:4] for each in found]
    assert ("results", "cause 0, dial status CANCEL", "480 Temporarily unavailable", "0 Unknown") in told
    assert len(found) == 3  # and the same for CHANUNAVAIL and CONGESTION


def test_line_taken_away_is_told_with_the_shipped_one_that_decides_again() -> None:
    own = "bitrix24:\n  - {result: 603, when: outgoing, status: 603-S}\n"
    [(table, what, before, after, by)] = changes("", before=own)
    assert (table, what, before, after) == (
        "bitrix24", "result 603 Call rejected, outgoing", "603-S call canceled", "603 canceled",
    )  # fmt: skip
    assert by.startswith("bitrix24.yaml:")
    [combination] = changes("", before="results:\n  - {cause: 102, status: BUSY, result: 486}\n")
    assert combination[-2:] == ("0 Unknown", "no line")


def test_change_of_words_is_told_by_the_line_of_the_text() -> None:
    assert changes("texts:\n  en:\n    call_rejected: Refused\n") == [
        ("kommo", "result 603 Call rejected, always", "2 call back later, “Call rejected”",
         "2 call back later, “Refused”", "own.yaml:3"),
    ]  # fmt: skip


def test_direction_patterns_are_compared_one_by_one() -> None:
    own = (
        "directions:\n"
        "  - {context: [gsm, from-pstn], side: inside}\n"
        "  - {digits: 1-5, side: inside}\n"
        "  - {no_number: hidden}\n"
    )
    assert sorted(changes(own)) == [
        ("directions", "context from-pstn", "outside", "inside", "own.yaml:2"),
        ("directions", "context gsm", "no line", "inside", "own.yaml:2"),
        ("directions", "inside digits", "1-4", "1-5", "own.yaml:3"),
        ("directions", "no_number hidden", "no line", "a caller without a number", "own.yaml:4"),
    ]  # fmt: skip


def test_another_order_of_patterns_that_overlap_is_a_difference() -> None:
    first, second = "  - {context: 'a*', side: inside}\n", "  - {context: 'ab*', side: outside}\n"
    [change] = changes(f"directions:\n{first}{second}", before=f"directions:\n{second}{first}")
    assert change[:2] == ("directions", "order of the lines")


@pytest.mark.parametrize(
    ("causes", "words"),
    [([16], "cause 16"), ([1, 20], "causes 1, 20"), ([4, 2, 3, 7], "causes 2-4, 7"), (range(128), "any cause")],
)
def test_causes_in_words(causes: list[int], words: str) -> None:
    assert causes_in_words(causes) == words


def test_most_dial_statuses_are_told_by_the_others() -> None:
    assert statuses_in_words(["BUSY", ""]) == "dial status empty, BUSY"
    most = ["", "BUSY", "NOANSWER", "CONGESTION", "CHANUNAVAIL", "DONTCALL", "TORTURE", "INVALIDARGS"]
    assert statuses_in_words(most) == "any dial status but ANSWER, CANCEL"
    assert statuses_in_words([*most[1:], "ANSWER", "CANCEL"]) == "any dial status but empty"
    assert statuses_in_words([*most, "ANSWER", "CANCEL"]) == "any dial status"


def test_dial_statuses_are_told_in_the_order_of_the_table() -> None:
    assert statuses_in_words(["CHANUNAVAIL", "CONGESTION"]) == "dial status CONGESTION, CHANUNAVAIL"
    assert statuses_in_words(["BUSY", "", "NOANSWER", "ANSWER", "CANCEL"]).startswith("dial status empty, ANSWER")


def test_situations_without_a_common_name_are_listed() -> None:
    both = [("outgoing", False), ("incoming", True)]
    assert situations_in_words(both) == "incoming, answered; outgoing, not answered"
    assert situations_in_words([("incoming", False), ("incoming", True)]) == "incoming"
