"""The client's address and the portal's own URL. Headers are trusted only from known proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.encoding import iri_to_uri

from lathe.errors import API
from lathe.middleware import Around

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

TOLD_BY_PROXIES = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO")


class ThroughProxies(Around):
    """Middleware: sets `REMOTE_ADDR` to the client's address, for all limits and logs.

    `X-Forwarded-For` is read from its end, because each trusted proxy appends the address it saw. Entries from anyone
    else, also in `X-Forwarded-Proto`, are dropped. Links in mails begin with `LATHE_BASE_URL`, whatever the host
    header.
    """

    def before(self, request: HttpRequest) -> None:
        trusted: Sequence[Network] = settings.LATHE.trusted_proxies
        if trusted:
            _through(request, trusted)
        if not request.path.startswith(API):  # API clients keep using the address that they called
            request.build_absolute_uri = partial(absolute, request)  # type: ignore[method-assign]


def _through(request: HttpRequest, trusted: Sequence[Network]) -> None:
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    if peer is None or not _is_in(peer, trusted):
        for header in TOLD_BY_PROXIES:
            request.META.pop(header, None)
        return
    chain = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    request.META["REMOTE_ADDR"] = str(client(peer, chain, trusted))


def client(peer: Address, chain: Sequence[str], trusted: Sequence[Network]) -> Address:
    """The nearest address in the chain that is not a trusted proxy. If all are trusted, or the next entry is not an
    address, the last known one.
    """
    nearest = peer
    for claimed in reversed(chain):
        if not _is_in(nearest, trusted):
            break
        address = _address(claimed)
        if address is None:
            break
        nearest = address
    return nearest


def _address(text: str) -> Address | None:
    """The address in `text`, which may have a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def absolute(request: HttpRequest, location: str | None = None) -> str:
    """`location`, or the request's own, as an absolute URL that works elsewhere."""
    base = urlsplit(settings.LATHE.base_url)
    here = f"{base.scheme}://{base.netloc}{request.path}"
    return str(iri_to_uri(urljoin(here, request.get_full_path() if location is None else str(location))))
