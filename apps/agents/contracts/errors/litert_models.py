"""TensorFlow Lite models that cannot be taken."""

from __future__ import annotations

from apps.errors import UserError


class LiteRtDamaged(UserError):
    code = "model.litert_damaged"
    sentence = "The file cannot be read as a TensorFlow Lite model: {reason}. Convert or upload it again."
