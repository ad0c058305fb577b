"""Options that several commands have, declared once as the fields of a dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any


def with_options(group: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a Typer command of a function whose parameter `options` is an instance of `group`: a dataclass whose fields
    are annotated as Typer's options."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            options = group(**{each.name: given.pop(each.name) for each in fields(group)})
            command(options=options, **given)

        own = [each for each in inspect.signature(command).parameters.values() if each.name != "options"]
        shared = list(inspect.signature(group).parameters.values())
        keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*shared, *own)]
        run.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]  # Typer reads options from it
        run.__annotations__ = {each.name: each.annotation for each in keyword}
        return run

    return decorate
