"""Which network addresses a request may go to: a webhook's address is anybody's word (server-side request forgery).

The check is made on the very address that a socket is about to connect to, whether it stood in the URL or a name server
gave it: between check and connection there is nothing that could answer differently (DNS rebinding).
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import AddrInfoType, SocketFactoryType

_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    # Beyond what Python's `is_global` knows in every version that we run on (IANA special-purpose registries).
    ip_network(net)
    for net in ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20")
)


class ForbiddenAddress(OSError):
    """The address is not public. One text for all, so that several addresses of a name fail alike."""

    def __init__(self) -> None:
        super().__init__("its address is private or reserved")


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet: not private, loopback, link-local (cloud metadata),
    shared (100.64.0.0/10), multicast or reserved, nor such an address in the clothes of IPv6."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in net for net in _NOT_PUBLIC if net.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address end at: mapped, 6to4, NAT64."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def guarded(permitted: Callable[[str], bool]) -> SocketFactoryType:
    """Sockets for permitted addresses only; others end in ForbiddenAddress."""

    def make(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = address
        if not permitted(str(where[0])):
            raise ForbiddenAddress
        return socket.socket(family, kind, protocol)

    return make
