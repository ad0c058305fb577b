"""How an authorisation changes: who may refresh, and what becomes of a refresh that was cut off."""

from dataclasses import replace

import msgspec
import pytest
from pydantic import SecretStr

from streams.clock import MICROS_PER_SECOND
from streams.credentials.record import Claim, Credential, claimed, granted, refused, released, rotated
from streams.credentials.sealing import Sealer, Unreadable
from streams.credentials.store import opened, sealed
from streams.crm.shared.tokens import Pair
from streams.settings import CredentialSettings
from tests.credentials.shared import pair

NOW = 1_000 * MICROS_PER_SECOND
OLD, NEW = pair(1), pair(2)
MINE = Claim("mine", OLD.mark, NOW, 40.0)
THEIRS = replace(MINE, id="theirs")
GOOD = Credential("kommo/main", 5, OLD)


@pytest.mark.parametrize(
    ("before", "abandoned", "doubtful"),
    [
        (GOOD, None, False),
        (replace(GOOD, claim=THEIRS), None, None),
        (replace(GOOD, claim=THEIRS), "somebody", None),
        (replace(GOOD, claim=THEIRS), "theirs", True),
        (replace(GOOD, claim=replace(THEIRS, mark="another token")), "theirs", False),
        (replace(GOOD, refused="used"), None, None),
        (replace(GOOD, pair=NEW), None, None),
        (None, None, None),
    ],
)
def test_one_claim_stands_at_a_time(before: Credential | None, abandoned: str | None, doubtful: bool | None) -> None:
    after = claimed(before, MINE, NOW, abandoned)
    if doubtful is None:
        assert after is None
    else:
        assert after is not None and after.claim == replace(MINE, doubtful=doubtful)
        assert after.pair == OLD and after.revision >= NOW


@pytest.mark.parametrize(
    "before", [replace(GOOD, claim=MINE), replace(GOOD, claim=THEIRS), replace(GOOD, refused="invalid_grant"), GOOD]
)
def test_a_new_pair_counts_whoever_claimed_or_was_refused_meanwhile(before: Credential) -> None:
    after = rotated(before, OLD.mark, NEW, NOW)
    assert after is not None and (after.pair, after.claim, after.refused) == (NEW, None, None)


def test_a_pair_that_comes_after_a_newer_one_is_dropped() -> None:
    assert rotated(replace(GOOD, pair=NEW), OLD.mark, pair(3), NOW) is None


def test_a_vendor_that_names_no_address_leaves_the_known_one() -> None:
    known = replace(GOOD, pair=replace(OLD, endpoint="https://x.bitrix24.ru/rest"))
    after = rotated(known, OLD.mark, NEW, NOW)
    assert after is not None and after.pair.endpoint == "https://x.bitrix24.ru/rest"


def test_only_who_holds_the_claim_may_say_that_it_is_refused() -> None:
    assert refused(replace(GOOD, claim=THEIRS), "mine", "invalid_grant", NOW) is None
    after = refused(replace(GOOD, claim=MINE), "mine", "invalid_grant", NOW)
    assert after is not None and (after.refused, after.claim) == ("invalid_grant", None)


def test_a_refusal_after_a_refresh_that_was_cut_off_says_so() -> None:
    after = refused(replace(GOOD, claim=replace(MINE, doubtful=True)), "mine", "invalid_grant", NOW)
    assert after is not None and "cut off" in str(after.refused) and "invalid_grant" in str(after.refused)


def test_what_surely_had_no_effect_frees_the_claim_but_no_earlier_doubt() -> None:
    after = released(replace(GOOD, claim=MINE), "mine", NOW)
    assert after is not None and after.claim is None
    assert released(replace(GOOD, claim=replace(MINE, doubtful=True)), "mine", NOW) is None
    assert released(replace(GOOD, claim=THEIRS), "mine", NOW) is None


@pytest.mark.parametrize("before", [None, GOOD, replace(GOOD, revision=2 * NOW, refused="used")])
def test_a_person_who_authorises_begins_anew_and_every_change_is_newer(before: Credential | None) -> None:
    after = granted(before, "kommo/main", NEW, NOW)
    assert (after.pair, after.claim, after.refused) == (NEW, None, None)
    assert after.revision > (before.revision if before else 0)


def test_no_token_shows_when_an_authorisation_is_printed() -> None:
    shown = repr(replace(GOOD, claim=MINE))
    assert OLD.access not in shown and OLD.refresh not in shown


def test_an_authorisation_cannot_be_moved_to_another_portal() -> None:
    sealer = Sealer.of(CredentialSettings(key=SecretStr("A" * 43 + "=")))
    value = sealed(GOOD, sealer)
    assert opened("kommo/main", value, sealer) == GOOD
    with pytest.raises(Unreadable):
        opened("kommo/other", value, sealer)
    with pytest.raises(Unreadable):
        opened("kommo/main", sealer.seal(b"{}"), sealer)


def test_what_was_stored_before_a_field_came_can_be_read() -> None:
    oldest = {
        "portal": "kommo/main",
        "revision": 1,
        "pair": {"access": "a", "refresh": "r", "received_at": 1, "access_until": 2, "refresh_until": 3},
    }
    read = msgspec.convert(oldest, Credential)
    assert read.pair == Pair("a", "r", 1, 2, 3) and read.claim is None and read.refused is None


def test_the_server_that_issues_the_next_pair_is_kept_until_the_vendor_names_another() -> None:
    named = replace(GOOD, pair=replace(GOOD.pair, server="oauth.bitrix24.tech"))
    after = rotated(named, OLD.mark, NEW, NOW)
    assert after is not None and after.pair.server == "oauth.bitrix24.tech"
    other = rotated(named, OLD.mark, replace(NEW, server="oauth.bitrix.info"), NOW)
    assert other is not None and other.pair.server == "oauth.bitrix.info"
