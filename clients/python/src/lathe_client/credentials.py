"""Which portal, and with which token: from the environment, else from what `lathe login` has kept."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from lathe_client.addresses import normalised
from lathe_client.errors import LatheError


def path() -> Path:
    """The file that only its owner can read."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "lathe" / "credentials.json"


def keep(url: str, token: str) -> Path:
    """Writes both down, for this user only."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        file.unlink()
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump({"url": url, "token": token}, out)
    return file


def known(url: str | None = None) -> tuple[str, str]:
    """Address and token. Raises `LatheError` if one is missing.

    A kept token belongs to the portal that it was kept for, and is never sent to another.
    """
    given, token = url or os.environ.get("LATHE_URL"), os.environ.get("LATHE_TOKEN")
    if given and token:
        return given, token
    kept = {}
    with suppress(OSError, ValueError):
        kept = dict(json.loads(path().read_text()))
    if token is None and kept and (given is None or normalised(given) == normalised(str(kept.get("url")))):
        return str(kept["url"]), str(kept["token"])
    if token is not None and kept and given is None:
        return str(kept["url"]), token
    raise LatheError("Log in first with `lathe login URL`, or set LATHE_URL and LATHE_TOKEN.")
