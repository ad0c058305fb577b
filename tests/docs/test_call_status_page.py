"""The tables of docs/call-status.md are those that tests/rules reads, and through them the product's."""

import pytest

from tests.docs.pages import rows
from tests.rules import specification


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("2. Call result", specification.RESULT_TABLE),
        ("3. Bitrix24 status", specification.BITRIX24_TABLE),
        ("4. Kommo status and text", specification.KOMMO_TABLE),
        ("8. The outcome in one word", specification.OUTCOME_TABLE),
    ],
)
def test_table_of_the_page_is_the_one_that_the_product_is_tested_with(heading: str, table: str) -> None:
    assert rows("call-status.md", heading) == specification.rows(table)
