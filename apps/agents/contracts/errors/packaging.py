"""Why a package cannot be signed."""

from __future__ import annotations

from apps.errors import UserError


class SigningKeyUnusable(UserError):
    code = "package.signing_key_unusable"
    status = 503
    sentence = (
        "Packages cannot be signed: LATHE_SIGNING_KEY is {path}, {reason}. An operator has to name a file with an "
        "unencrypted private key in PEM on the curve P-256, P-384 or P-521 (docs/deployment.md)."
    )
