"""Calls of several PBXs in one process: each judged by its own PBX's numbers, trunks, zone and columns."""

import orjson
import pytest

from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.calls.topic_rows import topic_decoder
from streams.errors import SettingsError, UnreadableRow
from streams.rows.row import CapturedRow
from streams.rules import load_rules
from streams.settings import Settings
from tests.worker_installation import captured, recorded_rows

NORTH_TRUNK, SOUTH_TRUNK = "carrier-n", "carrier-s"

SETTINGS = Settings.model_validate(
    {
        "numbers": {"region": "RU"},
        "pbxs": [
            {"name": "north", "timezone": "Europe/Moscow", "numbers": {"trunks": [NORTH_TRUNK], "region": "RU"}},
            {
                "name": "south",
                "timezone": "America/New_York",
                "numbers": {"trunks": [SOUTH_TRUNK], "region": "US"},
                "database": {"engine": "postgresql", "column_name_aliases": {"cel_extra": "eventextra"}},
            },
            {"name": "plain"},
        ],
    }
)


def row(pbx: str, number: int, event: str, channel: str, trunk: str, **columns: str) -> CapturedRow:
    """A row of a call that came in by `trunk` at noon by the PBX's own clock."""
    base = {
        "id": number, "eventtype": event, "eventtime": "2026-11-24 12:00:00.5", "linkedid": "1795480300.1",
        "uniqueid": f"1795480300.{1 if channel == trunk else 2}", "channame": f"PJSIP/{channel}-0000001a",
        "cid_num": "2125550123", "exten": "200", "context": "calls", "__source_name": pbx, "__source_ts_ms": 1,
    } | columns  # fmt: skip
    return topic_decoder(SETTINGS).decode(orjson.dumps(base))


def judged(pbx: str, trunk: str) -> CallResult:
    call = Call(pbx, "1795480300.1")
    for number, (event, channel) in enumerate(
        [("CHAN_START", trunk), ("CHAN_START", "200"), ("HANGUP", "200"), ("CHAN_END", "200"), ("HANGUP", trunk),
         ("CHAN_END", trunk), ("LINKEDID_END", trunk)], 1,
    ):  # fmt: skip
        call.add(row(pbx, number, event, channel, trunk))
    profile = PbxProfile.of(SETTINGS)
    return classify(call, load_rules(SETTINGS.rules), profile).result


def test_each_call_is_judged_by_the_trunks_and_numbers_of_its_own_pbx() -> None:
    north, south = judged("north", NORTH_TRUNK), judged("south", SOUTH_TRUNK)
    assert (north.direction, north.trunk, south.direction, south.trunk) == (
        "incoming", NORTH_TRUNK, "incoming", SOUTH_TRUNK,
    )  # fmt: skip
    assert south.caller_e164 == "+12125550123" and north.caller_e164 != south.caller_e164


def test_the_trunks_of_one_pbx_are_none_of_another() -> None:
    assert PbxProfile.of(SETTINGS).of_pbx("south").is_trunk(SOUTH_TRUNK)
    assert not PbxProfile.of(SETTINGS).of_pbx("south").is_trunk(NORTH_TRUNK)
    assert PbxProfile.of(SETTINGS).of_pbx("plain").trunks == ()


def test_each_call_is_told_in_the_time_of_its_own_pbx() -> None:
    assert SETTINGS.timezone_of("north") == "Europe/Moscow"
    assert SETTINGS.timezone_of("south") == "America/New_York"
    assert SETTINGS.timezone_of("plain") is None


def test_the_same_linkedid_on_two_pbxs_is_two_calls() -> None:
    assert judged("north", NORTH_TRUNK).call_id == "north/1795480300.1"
    assert judged("south", SOUTH_TRUNK).call_id == "south/1795480300.1"


def test_each_row_is_read_by_the_column_names_of_its_own_pbxs_table() -> None:
    decoder = topic_decoder(SETTINGS)
    told = captured({**recorded_rows()[0], "extra": "of extra", "eventextra": "of eventextra"})
    for pbx, extra in (("north", "of extra"), ("south", "of eventextra"), ("plain", "of extra")):
        assert decoder.decode(orjson.dumps({**told, "__source_name": pbx})).extra == extra
    with pytest.raises(UnreadableRow, match="linkedid"):
        decoder.decode(orjson.dumps({**told, "__source_name": "south", "linkedid": ""}))


def test_pbxs_that_agree_have_the_rules_of_one() -> None:
    same = Settings.model_validate({"pbxs": [{"name": "a"}, {"name": "b", "timezone": "Europe/Moscow"}]})
    assert PbxProfile.of(same).hash == PbxProfile.of(Settings()).hash
    assert PbxProfile.of(SETTINGS).hash != PbxProfile.of(Settings()).hash


def test_a_result_names_the_rules_of_its_own_pbx() -> None:
    assert judged("north", NORTH_TRUNK).rules_hash != judged("south", SOUTH_TRUNK).rules_hash


def test_the_settings_of_one_pbx_are_as_the_short_form_has_them() -> None:
    south = SETTINGS.of_pbx("south")
    assert (south.pbx.name, south.database.port, south.numbers.region) == ("south", 5432, "US")
    assert south.pbx_names == ("south", "north", "plain")
    assert [each.pbx.name for each in SETTINGS.each_pbx()] == ["north", "south", "plain"]
    assert SETTINGS.of_pbx("plain").numbers.region == "RU"
    short = Settings.model_validate({"pbx": {"name": "one"}, "other_pbxs": [{"name": "two"}]})
    assert short.of_pbx("one") is short and short.each_pbx() == (short,)


@pytest.mark.parametrize(
    ("name", "words"), [("west", "there is no PBX west"), ("two", "the database of PBX two is not in these settings")]
)
def test_a_pbx_that_is_not_there_is_named(name: str, words: str) -> None:
    settings = Settings.model_validate({"pbx": {"name": "one"}, "other_pbxs": [{"name": "two"}]})
    with pytest.raises(SettingsError, match=words):
        settings.of_pbx(name)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"pbxs": [{"name": "a"}, {"name": "a"}]}, "two PBXs are named a"),
        ({"pbxs": [{"name": "a"}], "pbx": {"name": "b"}}, "pbx beside pbxs"),
        ({"pbxs": [{"name": "a"}], "database": {"host": "h"}}, "database beside pbxs"),
        ({"pbxs": [{"name": "a b"}]}, "pbxs.0.name"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tree: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings.model_validate(tree)
