"""Access policy: which places the names in a listing may lead to.

A listing that lies elsewhere is written by others. What it names must not make this machine read its own files, or ask
servers that only this machine can reach. Addresses are checked where a connection is made, so after redirects and for
every DNS answer, and there is no second look-up that may answer otherwise.
"""

import errno
import os
import socket
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from mole.errors import SettingsError
from pipeline.storage.fault import RefusedError
from pipeline.storage.protocol import protocol_of
from pipeline.storage.retry import is_never_retried

TRUST = "MOLE_TRUST_LISTINGS"
"""The environment variable that says which listings may name any place."""
WEB = {"http": 80, "https": 443}
STORES = frozenset({"s3", "s3a", "gs", "gcs"})
"""Object stores whose server is configured by the user and not named by a URL."""
UNICAST = IPv6Network("2000::/3")
TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as an IPv6-only network reaches them (NAT64, RFC 6052)."""
LOW_32 = 0xFFFFFFFF
SPECIAL_PURPOSE_IPV4 = tuple(
    IPv4Network(net)
    for net in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        "168.63.129.16/32",  # Azure's host agent, which answers from within
    )
)
SPECIAL_PURPOSE_IPV6 = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "3fff::/20"))
"""What is not public, of IPv6 within `UNICAST`. Not Python's `is_global`, which differs between its releases.

Source: IANA's special-purpose address registries, of 2026.
"""
LOOPBACK = ("127.0.0.1", "::1")


class Trust(StrEnum):
    """Which listings may name files of this machine and private addresses."""

    LOCAL = "local"
    ALL = "all"
    NONE = "none"


def trust() -> Trust:
    """Return which listings are trusted.

    Raises:
        SettingsError: the environment variable has another value.
    """
    text = os.environ.get(TRUST, Trust.LOCAL)
    if text not in list(Trust):
        raise SettingsError(f"{TRUST}={text!r} must be one of {', '.join(Trust)}")
    return Trust(text)


@dataclass(frozen=True)
class AccessPolicy:
    """The places that a listing may name: the public web, object stores, and where the listing itself lies.

    Attributes:
        origin: protocol and host of the listing, `http://10.0.0.5:8000`; empty for a local one.
    """

    origin: str = ""

    def check(self, url: str) -> None:
        """Check a URL before anything is opened; the address of a web server is checked when it is known.

        Raises:
            RefusedError: it is a local file, or a protocol that may lead anywhere.
        """
        protocol = protocol_of(url)
        if protocol is None:
            raise refused("a listing that lies elsewhere names a file of this machine")
        if protocol not in WEB and protocol not in STORES and origin_of(url) != self.origin:
            raise refused(f"a listing that lies elsewhere names a place by {protocol}:")

    def permits(self, address: str, port: int) -> bool:
        """Return whether a connection may be made: to a public address, or the one by which the listing was named.

        Args:
            address: as the connection has it.
            port: of the server.
        """
        own = urlsplit(self.origin)
        if own.scheme in WEB and port == (own.port or WEB[own.scheme]):
            hosts = LOOPBACK if own.hostname == "localhost" else (own.hostname,)
            if address in hosts:
                return True
        return is_public(address)

    def socket(self, target: tuple[Any, ...]) -> socket.socket:
        """Make the socket of a connection.

        Args:
            target: family, type, protocol, name and address, as of `socket.getaddrinfo`.

        Raises:
            RefusedError: the address is not permitted.
        """
        family, kind, protocol, _, (address, port, *_) = target
        if not self.permits(str(address), int(port)):
            raise refused("a listing that lies elsewhere leads to a loopback, link-local, private or reserved address")
        return socket.socket(family, kind, protocol)


def access_policy_of(listing: str | None, trusted: Trust) -> AccessPolicy | None:
    """Return the access policy of what a listing names, None where it may name any place.

    Args:
        listing: the listing's URL; None for what the user named.
        trusted: which listings are.
    """
    if listing is None or trusted is Trust.ALL:
        return None
    if is_never_retried(listing):
        return AccessPolicy() if trusted is Trust.NONE else None
    return AccessPolicy(origin_of(listing))


def origin_of(url: str) -> str:
    """Return protocol and host of a URL, without the user: `http://10.0.0.5:8000`, `s3://bucket`."""
    protocol, _, rest = url.partition("://")
    host = rest.replace("?", "/").replace("#", "/").partition("/")[0].rpartition("@")[2]
    return f"{protocol.lower()}://{host.lower()}"


def is_public(text: str) -> bool:
    """Return whether an IP address is a public one; an IPv4 address inside an IPv6 address is checked too."""
    try:
        address = ip_address(text)
    except ValueError:  # not an address in its usual form
        return False
    if isinstance(address, IPv4Address):
        return not any(address in net for net in SPECIAL_PURPOSE_IPV4)
    inner = _inner(address)
    if inner is not None and not is_public(str(inner)):
        return False
    if address.ipv4_mapped is not None or address in TRANSLATED:
        return True
    return address in UNICAST and not any(address in net for net in SPECIAL_PURPOSE_IPV6)


def refused(why: str) -> RefusedError:
    """Make the error of a place that a listing may not name."""
    return RefusedError(errno.EACCES, f"refused: {why} ({TRUST}=all allows it)")


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads: mapped, translated, or by a 6to4 tunnel."""
    if address in TRANSLATED:
        return IPv4Address(int(address) & LOW_32)
    return address.ipv4_mapped or address.sixtofour
