"""The person whom a call is given to, by the parameters of register and finish."""

from __future__ import annotations

import re
from typing import Any

from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.fields import TelephonyError, text, whole_number
from deploy.fake_crms.entry import PortalUser

INNER_NUMBER = re.compile(r"\d{1,4}")  # an inner number has fewer than five digits (S: the product's source)


def user_of(params: dict[str, Any], config: Bitrix24Config) -> PortalUser:
    """The active user of USER_ID, else of USER_PHONE_INNER. Raises TelephonyError: there is none."""
    wanted, inner = whole_number(params.get("USER_ID")), text(params.get("USER_PHONE_INNER"))
    if wanted is None and inner is not None:
        wanted = _of_inner(inner, config)
    if wanted is None:
        raise TelephonyError("USER_ID or USER_PHONE_INNER should be set")
    for user in config.users:
        if user.active and user.id == wanted:
            return user
    raise TelephonyError("User is not found or is not active")


def _of_inner(inner: str, config: Bitrix24Config) -> int | None:
    """The user with an inner number. One that nobody has leaves USER_ID empty (S), unless `unknown_inner` says else."""
    if INNER_NUMBER.fullmatch(inner):
        for user in config.users:
            if user.active and user.inner == inner:
                return user.id
    return {"not_found": 0, "owner": config.webhook_user}.get(config.unknown_inner)
