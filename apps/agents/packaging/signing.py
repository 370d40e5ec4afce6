"""Signs a package with the operator's key, in the format of OpenSSF Model Signing (https://model-signing.org).

The signature is a file of the package, `model.sig`: a Sigstore bundle with an in-toto statement that names every other
file with its SHA-256. The worker signs, never a child: uploaded code cannot reach the key.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from apps.agents.contracts.errors.packaging import SigningKeyUnusable
from apps.agents.files.archives import Limits, unpack
from apps.agents.files.reproducible_zip import add_to_zip, seal

SIGNATURE = "model.sig"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""Those of the format."""


def public_digest(key: Path) -> str:
    """SHA-256 of the public half of the private key in the file `key`, as PEM. Signatures name it.

    Raises `SigningKeyUnusable` for a file that is not an unencrypted private key on one of `CURVES`.
    """
    pem = _private_key(key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningKeyUnusable(path=path, reason=f"which cannot be read: {error.strerror}") from error
    except TypeError as error:
        raise SigningKeyUnusable(path=path, reason="which is encrypted") from error
    except ValueError as error:
        raise SigningKeyUnusable(path=path, reason="which is not a private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SigningKeyUnusable(path=path, reason="whose key is not on an elliptic curve")
    if key.curve.name not in CURVES:
        raise SigningKeyUnusable(path=path, reason=f"whose key is on {key.curve.name}, which the format does not have")
    return key


def sign(package: Path, key: Path, scratch: Path, most_bytes: int) -> str:
    """Adds the signature to `package`, and seals it again. Returns the digest of the public key (`public_digest`).

    The package is unpacked in `scratch` to be hashed, to at most `most_bytes`. Raises `SigningKeyUnusable`, and the
    errors of `archives.unpack` for a package that its child did not make as Lathe does.
    """
    # Imported here, because it takes a second and only this needs it.
    from model_signing import hashing, signing

    signed_by = public_digest(key)
    contents, signature = scratch / "signed", scratch / SIGNATURE
    unpack(package, contents, Limits(total_bytes=most_bytes, ratio=math.inf))
    everything = hashing.Config()  # type: ignore[no-untyped-call]
    everything.set_ignored_paths(paths=(), ignore_git_paths=False)
    signer = signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=key).set_hashing_config(everything).sign(contents, signature)
    add_to_zip(package, SIGNATURE, signature.read_bytes())
    seal(package)
    return signed_by
