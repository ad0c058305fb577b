"""A request and an answer without the HTTP server around them, so that the portals' behaviour is plain functions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

JSON = "application/json; charset=utf-8"
PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request as the portal sees it. `operation` is the vendor's name of what is asked, in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    remote: str
    operation: str

    def bearer(self) -> str | None:
        """The token of the Authorization header, if there is one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None


@dataclass(frozen=True, slots=True)
class Answer:
    """The portal's answer. `body` is turned into JSON; bytes go out as they are; None sends no body at all."""

    status: int
    body: Any = None
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The bytes of the body."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, ensure_ascii=False).encode()


def php_params(encoded: str) -> dict[str, Any]:
    """A query string or form as PHP reads it: `FILTER[CALL_ID]=1` is nested, `ID[]=1&ID[]=2` a list.

    >>> php_params("FILTER[>ID]=7&start=50&ID[]=1&ID[]=2")
    {'FILTER': {'>ID': '7'}, 'start': '50', 'ID': ['1', '2']}
    """
    params: dict[str, Any] = {}
    for name, text in parse_qsl(encoded, keep_blank_values=True):
        head, _, rest = name.partition("[")
        keys = [head, *rest[:-1].split("][")] if rest.endswith("]") else [name]
        branch = params
        for key in keys[:-1]:
            inner = branch.setdefault(key or str(len(branch)), {})
            if not isinstance(inner, dict):  # `a=1&a[b]=2`: the later one wins, as in PHP
                inner = branch[key] = {}
            branch = inner
        branch[keys[-1] or str(len(branch))] = text
    return {key: _php_list(inner) for key, inner in params.items()}


def _php_list(value: Any) -> Any:
    """A PHP array numbered 0, 1, 2.. is a JSON list."""
    if not isinstance(value, dict):
        return value
    inner = {key: _php_list(item) for key, item in value.items()}
    if inner and list(inner) == [str(index) for index in range(len(inner))]:
        return list(inner.values())
    return inner
