"""A database on the command line: what its URL leaves out comes from the settings, its password always."""

import pytest

from streams.errors import UserError
from streams.settings import DatabaseSettings
from streams.sources.database_url import database_from_url, is_database_url

SETTINGS = DatabaseSettings(host="10.0.0.5", port=3307, user="reader", name="pbx", table="calls")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://u@h:33/d?table=t", ("mysql", "h", 33, "u", "d", "t")),
        ("mariadb://u@h/d", ("mariadb", "h", 3306, "u", "d", "calls")),
        ("postgresql://h/d", ("postgresql", "h", 5432, "reader", "d", "calls")),
        ("postgres://u%40corp@h/d", ("postgresql", "h", 5432, "u@corp", "d", "calls")),
        ("mariadb:///other", ("mariadb", "10.0.0.5", 3307, "reader", "other", "calls")),
        ("mysql://[::1]/d", ("mysql", "::1", 3306, "reader", "d", "calls")),
    ],
)
def test_what_a_url_leaves_out_comes_from_the_settings(url: str, expected: tuple[object, ...]) -> None:
    found = database_from_url(url, SETTINGS)
    assert (found.engine, found.host, found.port, found.user, found.name, found.table) == expected


@pytest.mark.parametrize("url", ["mysql://u:secret1@h/d", "postgresql://:secret1@h/d", "mysql://u:@h/d"])
def test_a_password_is_refused_with_the_reason_and_never_shown(url: str) -> None:
    with pytest.raises(UserError, match="holds a password") as refused:
        database_from_url(url, SETTINGS)
    assert "CEL2CRM_DATABASE__PASSWORD" in refused.value.remedy
    assert "secret1" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://h/d?tabel=cel", "takes table= alone, not tabel"),
        ("mysql://h/d#cel", "not #cel"),
        ("mysql://h:port/d", "cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused(url: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        database_from_url(url, SETTINGS)


@pytest.mark.parametrize(
    ("text", "database"), [("mysql://h/d", True), ("rows.csv", False), ("-", False), ("x://y", False)]
)
def test_a_database_is_told_from_a_file(text: str, database: bool) -> None:
    assert is_database_url(text) == database
