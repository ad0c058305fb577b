"""How a CRM compares phone numbers."""

import re


def last_digits(phone: str) -> str:
    """What both CRMs compare of a phone number: its last 10 digits."""
    return re.sub(r"\D", "", phone)[-10:]
