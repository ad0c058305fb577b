"""Addresses out of settings and answers: whether they are any, and whether a token for one may go to another."""

import re
from ipaddress import ip_address

from yarl import URL

from streams.errors import SettingsError


def web_address(text: str | None, where: str, remedy: str = "Set it to https://and-so-on.") -> URL:
    """An address of the settings. Raises SettingsError, which does not show the value: it may hold a secret."""
    url = as_url(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"{where} is not a web address" if text else f"{where} is not set", remedy)
    return url


def as_url(text: object) -> URL:
    """The URL in a text; an empty one where it holds none."""
    try:
        return URL(text.strip()) if isinstance(text, str) else URL()
    except ValueError:
        return URL()


def same_cloud(one: URL, other: URL, cloud: str) -> bool:
    """Whether a token that is meant for one address may go to the other.

    Same scheme, and the same host, or two accounts in the same domain of the vendor (`cloud`: CrmKind.cloud): an
    account may be renamed. Of other domains nobody knows who owns the neighbours (`a.co.uk`, `b.co.uk`).
    """
    if one.scheme != other.scheme or not one.host or not other.host:
        return False
    if one.host == other.host:
        return True
    if loopback(one.host) and loopback(other.host):
        return True
    return _domain(one.host, cloud) == _domain(other.host, cloud) is not None


def loopback(host: str) -> bool:
    """Whether nobody else can be at this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _domain(host: str, cloud: str) -> str | None:
    """The vendor's domain in which an account is; None: in none of them."""
    match = re.fullmatch(rf"[a-z0-9-]+\.({cloud})", host.lower().rstrip(".")) if cloud else None
    return match[1] if match else None
