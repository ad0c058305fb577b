"""Bitrix24's batch: up to 50 commands in one request, later ones may use the results of earlier ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deploy.fake_crms.bitrix24.fields import TelephonyError
from deploy.fake_crms.exchange import php_params

MAX_COMMANDS = 50
_REFERENCE = re.compile(r"\$result((?:\[[^\]]*\])+)")
RunCommand = Callable[[str, dict[str, Any]], dict[str, Any]]


def run_batch(params: dict[str, Any], run: RunCommand) -> dict[str, Any]:
    """Run `CMD` (name -> "method?query") in order; with HALT stop at the first error. The answer names errors by
    command.

    `run` gives a command's answer, with `error` in it if it was refused. Raises TelephonyError for more than 50
    commands.
    """
    commands = params.get("CMD") or {}
    named = dict(enumerate(commands)) if isinstance(commands, list) else dict(commands)
    if len(named) > MAX_COMMANDS:
        raise TelephonyError("Max batch length exceeded", "ERROR_BATCH_LENGTH_EXCEEDED")
    halt = str(params.get("HALT", "0")).lower() in {"1", "true", "y"}
    parts: dict[str, dict[str, Any]] = {part: {} for part in ("result", "error", "total", "next", "time")}
    for key, command in named.items():
        answer = _one(str(command), parts["result"], run)
        if "error" in answer:
            parts["error"][str(key)] = {part: answer[part] for part in ("error", "error_description")}
            if halt:
                break
            continue
        for part in ("result", "total", "next", "time"):
            if part in answer:
                parts[part][str(key)] = answer[part]
    return {("result" if part == "result" else f"result_{part}"): _php_array(inner) for part, inner in parts.items()}


def _one(command: str, results: dict[str, Any], run: RunCommand) -> dict[str, Any]:
    method, _, query = command.partition("?")
    if method.lower() == "batch":
        return {"error": "ERROR_BATCH_METHOD_NOT_ALLOWED", "error_description": "Method is not allowed for batch usage"}
    params = _resolved(php_params(query), results)
    assert isinstance(params, dict)
    return run(method, params)


def _resolved(value: Any, results: dict[str, Any]) -> Any:
    """The value with `$result[name][field]` replaced; a reference to nothing becomes an empty text."""
    if isinstance(value, dict):
        return {key: _resolved(inner, results) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, results) for inner in value]
    return _REFERENCE.sub(lambda match: _look_up(results, match[1]), str(value))


def _look_up(results: Any, path: str) -> str:
    found: Any = results
    for key in re.findall(r"\[([^\]]*)\]", path):
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def _php_array(named: dict[str, Any]) -> dict[str, Any] | list[Any]:
    """As PHP writes an array: empty or numbered 0, 1, 2.. it is a JSON list."""
    return list(named.values()) if list(named) == [str(index) for index in range(len(named))] else named
