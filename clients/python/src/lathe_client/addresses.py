"""Addresses of portals: one way to write each."""

from __future__ import annotations

from urllib.parse import urlsplit

from lathe_client.errors import LatheError

PORTS = {"http": 80, "https": 443}
"""The ports that an address need not name."""


def normalised(url: str) -> str:
    """The address without a slash at its end, with its host in lower case, and without the port that is usual.

    Raises `LatheError` for what is not an address of a portal.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _Wrong(url) from error
    if parts.scheme not in PORTS or not host or parts.query or parts.fragment or parts.username is not None:
        raise _Wrong(url)
    named = f"[{host}]" if ":" in host else host
    shown = "" if port in (None, PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{named}{shown}{parts.path.rstrip('/')}"


class _Wrong(LatheError):
    def __init__(self, url: str) -> None:
        super().__init__(f"“{url}” is not the address of a portal. Write one such as https://lathe.example.org.")
