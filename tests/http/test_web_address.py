"""Addresses out of settings, and whether a token for one may go to another."""

import pytest
from yarl import URL

from streams.crm.registry import registered
from streams.errors import SettingsError
from streams.http.web_address import same_cloud, web_address


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.bitrix24.ru/rest", "https://b.bitrix24.ru/rest", True),
        ("https://a.bitrix24.com.br", "https://b.bitrix24.com.br", True),
        ("https://a.kommo.com", "https://b.kommo.com", True),
        ("https://crm.company.com/rest", "https://crm.company.com/other", True),
        ("https://a.bitrix24.ru", "https://a.bitrix24.com", False),
        ("https://a.bitrix24.ru", "http://a.bitrix24.ru", False),
        ("https://crm.company.com", "https://evil.company.com", False),
        ("https://shop.co.uk", "https://evil.co.uk", False),
        ("https://a.bitrix24.evil.com", "https://b.bitrix24.evil.com", False),
        ("https://a.bitrix24.ru", "https://a.bitrix24.ru.evil.com", False),
        ("https://10.0.0.1", "https://10.0.0.2", False),
        ("http://127.0.0.1:1", "http://localhost:2", True),
    ],
)
def test_a_token_goes_to_the_same_host_or_the_same_cloud_of_the_vendor(one: str, other: str, same: bool) -> None:
    found = {same_cloud(URL(one), URL(other), kind.cloud) for kind in registered().kinds.values()}
    assert (True in found) is same


def test_an_account_of_one_vendor_is_none_of_another_vendors() -> None:
    one, other = URL("https://a.kommo.com"), URL("https://b.kommo.com")
    assert [same_cloud(one, other, registered().kinds[crm].cloud) for crm in ("kommo", "bitrix24", "webhook")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "why"), [("", "is not set"), (None, "is not set"), ("hooks.example.com", "is not a web")]
)
def test_an_address_that_is_none_is_named_without_its_value(text: str | None, why: str) -> None:
    with pytest.raises(SettingsError, match=f"portals.main.url {why}") as error:
        web_address(text, "portals.main.url")
    assert "hooks" not in str(error.value) and error.value.remedy
