"""How a CRM compares phone numbers."""

import re
from functools import lru_cache


@lru_cache(maxsize=100_000)  # a search for a client compares all of them
def last_digits(phone: str) -> str:
    """The last 10 digits of a phone number, which both CRMs compare."""
    return re.sub(r"\D", "", phone)[-10:]
