"""Checks a signature in the format of OpenSSF Model Signing (https://model-signing.org) with an elliptic-curve key.

The format is a Sigstore bundle: an envelope (DSSE) around an in-toto statement that names each file with its SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from lathe_client.archive import Refused
from lathe_client.errors import LatheError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def check(bundle: bytes, key: Path, files: dict[str, str]) -> None:
    """Checks that the owner of the public key in `key` signed exactly these `files`: SHA-256 by name.

    Raises `Refused` if not, and `LatheError` if the key cannot be used.
    """
    try:
        envelope = json.loads(bundle)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = (base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"])
        kind = str(envelope["payloadType"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("Its signature cannot be read.") from error
    if kind != PAYLOAD_TYPE or not _signed(key, payload, signature):
        raise Refused("Its signature was not made with this key, or was changed.")
    if _resources(payload) != files:
        raise Refused("Its signature is about other files than it contains.")


def _signed(path: Path, payload: bytes, signature: bytes) -> bool:
    """Whether the envelope's signature is valid (https://github.com/secure-systems-lab/dsse)."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise LatheError("Signatures need a library. Run: pip install 'lathe-client[signatures]'.") from error
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LatheError(f"{path} is not a public key in PEM: {error}") from error
    algorithms: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size not in algorithms:
        raise LatheError(f"{path} is not a public key on the curve P-256, P-384 or P-521.")
    signed = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    try:
        key.verify(signature, signed, ec.ECDSA(algorithms[key.key_size]))
    except InvalidSignature:
        return False
    return True


def _resources(payload: bytes) -> dict[str, str]:
    """The signed files: SHA-256 by name. Raises `Refused` for a statement of another kind."""
    try:
        statement: dict[str, Any] = json.loads(payload)
        (subject,) = statement["subject"]
        resources = statement["predicate"]["resources"]
        if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] != PREDICATE_TYPE:
            raise ValueError("another kind of statement")
        if any(one["algorithm"] != "sha256" for one in resources):
            raise ValueError("another digest")
        named = {str(one["name"]): str(one["digest"]) for one in resources}
        whole = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
        if len(named) != len(resources) or subject["digest"]["sha256"] != whole:
            raise ValueError("its parts do not agree")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"Its signature is not about a package: {error}.") from error
    return named
