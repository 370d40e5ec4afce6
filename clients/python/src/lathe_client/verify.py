"""Checks that a package is the one that Lathe delivered, without a network.

Three things have to agree: the seal with the bytes of the file, the bill of materials (CycloneDX) with the files, and,
if a public key is given, the signature (OpenSSF Model Signing) with the same files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lathe_client import archive, signatures
from lathe_client.archive import Refused

EVIDENCE, SIGNATURE = "evidence.cdx.json", "model.sig"


@dataclass(frozen=True)
class Verified:
    """What holds of a package."""

    files: int
    model: str
    """Its name and version, as the bill of materials has them."""
    sha256: str
    """Of the model."""
    signed: bool
    """Whether the package has a signature."""
    checked: bool
    """Whether that was checked with a key."""


def verify(package: Path, key: Path | None = None) -> Verified:
    """What holds of the package. `key`: a file with the public key that must have signed it, as PEM.

    Raises `Refused` if anything differs from what Lathe delivered, and `LatheError` if it cannot be checked.
    """
    broken = archive.unsealed(package)
    try:
        digests = archive.digests(package)
        bill = _bill(package)
        _compare(_listed(bill), digests)
        if key is not None:
            signatures.check(_signature(package, digests), key, _without(digests, SIGNATURE))
    except Refused as error:
        raise Refused(f"{error} {broken}" if broken else str(error)) from error
    if broken:
        raise Refused(broken)
    model = bill["metadata"]["component"]
    return Verified(
        files=len(digests),
        model=str(model["name"]),
        sha256=str(model["hashes"][0]["content"]),
        signed=SIGNATURE in digests,
        checked=key is not None,
    )


def _bill(package: Path) -> dict[str, Any]:
    try:
        bill = json.loads(archive.member(package, EVIDENCE))
        model = bill["metadata"]["component"]
        if bill["bomFormat"] != "CycloneDX" or not model["name"] or not model["hashes"][0]["content"]:
            raise ValueError("it is not a bill of a model")
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise Refused(f"{EVIDENCE} is not the bill of materials of a package: {error}.") from error
    assert isinstance(bill, dict)
    return bill


def _listed(bill: dict[str, Any]) -> dict[str, str]:
    """The SHA-256 of every file that the bill covers, by name."""
    try:
        files = [one for one in bill["components"] if one["type"] == "file"]
        return {str(one["name"]): str(one["hashes"][0]["content"]) for one in files}
    except (KeyError, TypeError, IndexError) as error:
        raise Refused(f"{EVIDENCE} does not list the files with their digests.") from error


def _compare(listed: dict[str, str], found: dict[str, str]) -> None:
    """The bill covers every file but itself and the signature."""
    covered = _without(found, EVIDENCE, SIGNATURE)
    if missing := sorted(listed.keys() - covered.keys()):
        raise Refused(f"It lacks {', '.join(missing)}.")
    if added := sorted(covered.keys() - listed.keys()):
        raise Refused(f"It contains {', '.join(added)}, which Lathe did not put there.")
    if changed := sorted(name for name, digest in covered.items() if listed[name] != digest):
        raise Refused(f"The contents of {', '.join(changed)} have changed.")


def _signature(package: Path, digests: dict[str, str]) -> bytes:
    if SIGNATURE not in digests:
        raise Refused("It is not signed, although a key was given.")
    return archive.member(package, SIGNATURE)


def _without(digests: dict[str, str], *names: str) -> dict[str, str]:
    return {name: digest for name, digest in digests.items() if name not in names}
