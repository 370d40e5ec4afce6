"""Which addresses members' channels may reach: public ones, and networks that the operator lists. Pure.

A member chooses where Lathe connects to, so an address inside would make Lathe their arm into the operator's network
(OWASP, Server-Side Request Forgery Prevention Cheat Sheet). What a name resolves to is checked where the connection is
made (`apps.notifications.guard`), not here: it may be something else by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from string import printable
from urllib.parse import quote, urlsplit

from django.utils.translation import gettext as _

from apps.notifications.errors import AddressInvalid

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

AMBIGUOUS = "ßς"
"""Letters that the older standard of international names (RFC 3490) turns into others, and the newer one keeps, so that
they name another host.
"""
NAT64 = ip_network("64:ff9b::/96")
"""IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052)."""


@dataclass(frozen=True)
class Target:
    """A webhook's URL, taken apart."""

    tls: bool
    host: str
    """In ASCII, without brackets."""
    port: int
    path: str
    """With the query, in ASCII."""


def read(url: str, *, field: str = "address") -> Target:
    """Takes a webhook's URL apart. Raises `AddressInvalid`, which says what would be right."""
    if any(character.isspace() or not character.isprintable() for character in url):
        raise AddressInvalid(field=field, reason=_("it contains a space or a control character"))
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if ":" not in (parts.hostname or "") else parts.hostname
    except ValueError:
        raise AddressInvalid(field=field, reason=_("it is not a URL")) from None
    if parts.scheme not in ("https", "http"):
        raise AddressInvalid(field=field, reason=_("it does not begin with https://"))
    if not host:
        raise AddressInvalid(field=field, reason=_("it has no host"))
    if set(parts.hostname or "") & set(AMBIGUOUS):
        raise AddressInvalid(field=field, reason=_("its host has a letter that not all read alike: write it as xn--…"))
    if "@" in parts.netloc:
        raise AddressInvalid(field=field, reason=_("it contains a user name or password, which would end up in logs"))
    tls = parts.scheme == "https"
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    ascii_path = quote(path, safe=printable)  # ß as UTF-8 in percent signs (RFC 3987)
    return Target(tls, host, port or (443 if tls else 80), ascii_path)


def actual(ip: Ip) -> Ip:
    """The address that a packet to `ip` arrives at: IPv4 inside of IPv6 (mapped, 6to4, Teredo, NAT64) is unwrapped."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo[1] if ip.teredo else None
    return ip.ipv4_mapped or ip.sixtofour or teredo or ip


def is_listed(ip: Ip, listed: Iterable[Network]) -> bool:
    """Whether the operator has listed the address."""
    there = actual(ip)
    return any(there in network for network in listed if network.version == there.version)


def is_public(ip: Ip) -> bool:
    """Whether the address belongs to the public internet: not private, loopback, link-local (where clouds keep their
    metadata), shared by carriers (RFC 6598), multicast or reserved.
    """
    there = actual(ip)
    if isinstance(there, IPv6Address) and there.is_site_local:
        return False
    return there.is_global and not (there.is_multicast or there.is_reserved)


def may_reach(address: str, listed: Iterable[Network]) -> bool:
    """Whether a connection to the literal `address` may be made. Anything that is not an IP address may not."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return is_listed(ip, listed) or is_public(ip)


def literal(host: str) -> Ip | None:
    """The IP address that `host` states, if it is not a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
