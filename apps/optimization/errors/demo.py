"""The demo."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class DemoRefused(UserError):
    code = "demo.refused"
    sentence = _("The sample {name} was refused: {reason}")
