"""Which addresses a webhook may go to, and that the address which was checked is the one that is connected to."""

import socket
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from deploy.fake_crms import WebhookConfig, WebhookPortal
from streams.clock import boot_seconds
from streams.http.addresses import guarded, is_public
from streams.http.request import Ending, NothingSent, Reply, request, session

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
NOT_PUBLIC = {
    "loopback": ["127.0.0.1", "127.8.9.10", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local, cloud metadata": ["169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "shared by carriers": ["100.64.0.1", "100.127.255.255"],
    "multicast, broadcast": ["224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1", "ff0e::1"],
    "reserved, documentation, benchmarks": ["240.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"],
    "reserved and documentation, IPv6": ["2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1", "fec0::1"],
    "protocols": ["192.0.0.8", "192.88.99.1", "2001::1", "2001:20::1"],
    "IPv4 in the clothes of IPv6": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"],
    "behind NAT64": ["64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::808:808"],
    "behind 6to4": ["2002:7f00:1::1", "2002:a00:1::", "2002:c0a8:101::1"],
    "no address": ["", "localhost", "2130706433", "127.1", "0x7f.0.0.1", "example.com"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [each for every in NOT_PUBLIC.values() for each in every])
def test_not_public(address: str) -> None:
    assert not is_public(address)


class Answers(AbstractResolver):
    """A name server that says one thing now and another then."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = iter(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        kind, flags = socket.AF_INET, socket.AI_NUMERICHOST
        return [
            {"hostname": host, "host": address, "port": port, "family": kind, "proto": 0, "flags": flags}
            for address in next(self._answers)
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def asked() -> list[str]:
    """Every address that a socket was wanted for."""
    return []


@pytest.fixture
def no_public_sockets(asked: list[str]) -> Iterator[aiohttp.SocketFactoryType]:
    """127.0.0.2 stands for a public address, for nothing here may leave the machine."""

    def permitted(address: str) -> bool:
        asked.append(address)
        return address == "127.0.0.2" or is_public(address)

    yield guarded(permitted)


async def ask(url: str, sockets: aiohttp.SocketFactoryType, resolver: Answers) -> Ending:
    """One request on a connection of its own."""
    async with session(sockets, resolver) as http:
        return await request(http, "POST", URL(url), until=boot_seconds() + 5, json={})


async def test_a_name_that_leads_inside_is_refused(no_public_sockets: aiohttp.SocketFactoryType) -> None:
    async with WebhookPortal(WebhookConfig(host="127.0.0.1")) as portal:
        for answer in (["127.0.0.1"], ["127.0.0.1", "10.0.0.1"]):
            ending = await ask(f"http://evil.example:{portal.port}/calls", no_public_sockets, Answers(answer))
            assert isinstance(ending, NothingSent) and ending.needs_a_person
            assert ending.why == "evil.example may not be asked: its address is private or reserved"
        assert not portal.log


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_in_the_url_is_refused_too(
    host: str, no_public_sockets: aiohttp.SocketFactoryType, asked: list[str]
) -> None:
    ending = await ask(f"http://{host}:9/calls", no_public_sockets, Answers())
    assert isinstance(ending, NothingSent) and ending.needs_a_person and asked


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked(
    no_public_sockets: aiohttp.SocketFactoryType, asked: list[str]
) -> None:
    async with WebhookPortal(WebhookConfig(host="127.0.0.2")) as portal:
        url = f"http://rebinding.example:{portal.port}/calls"
        resolver = Answers(["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"])
        endings = [await ask(url, no_public_sockets, resolver) for _ in range(3)]
        assert [type(ending) for ending in endings] == [Reply, NothingSent, Reply]
        assert asked == ["127.0.0.2", "127.0.0.1", "127.0.0.1", "127.0.0.2"]
        assert len(portal.log) == 2
