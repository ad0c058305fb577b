"""The page: what a user of the CRM sees, and nothing that a caller could smuggle in."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.cli.hostile import HOSTILE as CORPUS
from tests.cli.hostile import unsafe
from tests.fake_crms.conftest import Bitrix24, Kommo

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


class Outline(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def names(self) -> set[str]:
        """Names of all tags."""
        return {tag for tag, _ in self.tags}


async def outline(portal: Bitrix24 | Kommo, query: str = "") -> Outline:
    """The portal's page."""
    async with portal.session.get(portal.portal.url + "/" + query) as response:
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return Outline(await response.text())


async def test_calls_newest_first_with_words_and_length(bitrix24: Bitrix24) -> None:
    await bitrix24.finish(await bitrix24.call_id(EXTERNAL_CALL_ID="first"), DURATION=3671)
    await bitrix24.finish(await bitrix24.call_id(EXTERNAL_CALL_ID="second", TYPE=1), STATUS_CODE="486")
    page = await outline(bitrix24)
    assert page.texts.index("second") < page.texts.index("first")
    assert {"1:01:11", "0:00", "↙ incoming", "↗ outgoing", "Anna Ivanova", "Busy (486)"} <= set(page.texts)
    assert {"Successful call (200)", "+79161234567"} <= set(page.texts)
    assert {"status good", "status failed"} <= {attributes.get("class") for _, attributes in page.tags}


async def test_orphans_and_popups_stand_apart(bitrix24: Bitrix24) -> None:
    await bitrix24.call_id(EXTERNAL_CALL_ID="lonely", SHOW=1)
    page = await outline(bitrix24)
    assert page.texts.index("Begun, never finished") < page.texts.index("lonely")
    assert "Cards that popped up" in page.texts
    assert "No calls yet." in page.texts


async def test_what_a_caller_sends_is_only_text(kommo: Kommo) -> None:
    await kommo.add_call(call_status=6, call_result=HOSTILE, uniq=HOSTILE, source=HOSTILE, phone="+7916" + HOSTILE)
    page = await outline(kommo)
    assert HOSTILE in page.texts
    assert not {"script", "img"} & page.names()


async def test_hostile_reasons_and_numbers_at_bitrix24(bitrix24: Bitrix24) -> None:
    await bitrix24.finish(await bitrix24.call_id(EXTERNAL_CALL_ID=HOSTILE), FAILED_REASON=HOSTILE, STATUS_CODE="<b>")
    page = await outline(bitrix24)
    assert page.texts.count(HOSTILE) == 2
    assert not {"script", "img"} & page.names()


async def test_the_page_refreshes_by_itself_until_told_not_to(kommo: Kommo) -> None:
    def refreshes(page: Outline) -> bool:
        return any(attributes.get("http-equiv") == "refresh" for _, attributes in page.tags)

    assert refreshes(await outline(kommo))
    assert not refreshes(await outline(kommo, "?refresh=off"))


async def test_the_page_can_be_read_by_a_screen_reader(kommo: Kommo) -> None:
    await kommo.add_call(call_status=4)
    page = await outline(kommo)
    assert ("html", {"lang": "en", "class": "kommo"}) in page.tags
    assert {"h1", "h2", "caption", "main", "time"} <= page.names()
    assert all(attributes.get("scope") == "col" for tag, attributes in page.tags if tag == "th")


async def test_many_calls_are_cut_with_a_word(kommo: Kommo) -> None:
    kommo.portal.change_settings(requests_per_second=0)
    calls = [
        {"direction": "inbound", "duration": 1, "source": "pbx", "phone": "+79161234567", "uniq": f"u{number}"}
        for number in range(205)
    ]
    await kommo("POST", "/api/v4/calls", calls)
    page = await outline(kommo)
    assert "the newest 200 of 205" in page.texts
    assert ("u204" in page.texts, "u4" in page.texts) == (True, False)


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
async def test_nothing_of_the_corpus_is_markup_or_hides(text: str, kommo: Kommo, bitrix24: Bitrix24) -> None:
    await kommo.add_call(call_status=6, call_result=text, uniq=text, source=text, phone=text)
    await bitrix24.register(EXTERNAL_CALL_ID=text, PHONE_NUMBER=text, SHOW=1)
    for portal in (kommo, bitrix24):
        page = await outline(portal)
        assert not {"script", "img"} & page.names()
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert "".join(map(unsafe, page.texts)) == ""
