"""The people of a fake Bitrix24 as its methods tell of them."""

from __future__ import annotations

from typing import Any

from deploy.fake_crms.bitrix24.config import Bitrix24Config


def person(config: Bitrix24Config, user_id: int) -> dict[str, Any]:
    """One user."""
    user = next((user for user in config.users if user.id == user_id), config.users[0])
    first, _, last = user.name.partition(" ")
    return {
        "ID": str(user.id),
        "ACTIVE": user.active,
        "NAME": first,
        "LAST_NAME": last,
        "UF_PHONE_INNER": user.inner or None,
    }


def listed(config: Bitrix24Config, params: dict[str, Any]) -> dict[str, Any]:
    """The users that user.get finds."""
    conditions = {**(params["FILTER"] if isinstance(params.get("FILTER"), dict) else {}), **params}
    people = [person(config, user.id) for user in config.users]
    for name in ("ID", "UF_PHONE_INNER"):
        wanted = conditions.get(name)
        if wanted is not None:
            among = [str(one) for one in wanted] if isinstance(wanted, list) else [str(wanted)]
            people = [one for one in people if one[name] in among]
    return {"result": people, "total": len(people)}
