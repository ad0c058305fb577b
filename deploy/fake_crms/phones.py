"""How a CRM compares phone numbers."""

import re


def last_digits(phone: str) -> str:
    """The last 10 digits of a phone number, which both CRMs compare."""
    return re.sub(r"\D", "", phone)[-10:]
