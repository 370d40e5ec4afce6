"""The operator's key for packages (`LATHE_SIGNING_KEY`). Only workers need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings as environment

from apps.agents.files.digest import digest_of
from apps.agents.packaging import signing


def key_digest() -> str | None:
    """SHA-256 of the public half of the key; `None` without a key. Raises `SigningKeyUnusable`."""
    key = environment.LATHE.signing_key
    return signing.public_digest(key) if key else None


def signed(package: Path, scratch: Path) -> dict[str, Any]:
    """Signs `package` if there is a key. Returns what this changes in the result of its step."""
    key = environment.LATHE.signing_key
    if key is None:
        return {"signed_by": None}
    signed_by = signing.sign(package, key, scratch, environment.LATHE.largest_step_file_bytes)
    return {"signed_by": signed_by, "digest": digest_of(package), "size_bytes": package.stat().st_size}
