"""Tables of Rich whose texts come from outside: never markup, nothing that a terminal obeys."""

from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from streams.printable import printable


def cell(value: object, style: str = "") -> Text:
    """A value as it is shown in a table."""
    return Text(printable(value if isinstance(value, str) else str(value)), style=style)


class Table(RichTable):
    """A table whose headers, title and cells are shown as they are."""

    def __init__(self, *headers: Any, title: str | None = None, **options: Any) -> None:
        super().__init__(*headers, title=cell(title, "table.title") if title else None, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Texts are made safe; other renderables are taken as they are."""
        super().add_row(*(cell(each) if isinstance(each, str) else each for each in cells), **options)
