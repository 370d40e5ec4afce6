"""What an installation cannot do at the moment: techniques and accelerators."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class TechniqueUnavailable(UserError):
    code = "session.technique_unavailable"
    sentence = _(
        "No worker can run {technique}, because none of them has {libraries}. Install it on a worker, or remove the "
        "technique from the criteria."
    )


class TechniqueDisabled(UserError):
    code = "session.technique_disabled"
    sentence = _("The operators have switched {technique} off. Remove it from the criteria.")


class TechniquePaused(UserError):
    code = "session.technique_paused"
    sentence = _("{why} Until then, remove it from the criteria.")


class AcceleratorUnavailable(UserError):
    code = "session.accelerator_unavailable"
    sentence = _(
        "The target is {device}, but no worker serves an accelerator. Start a worker for the queue gpu, or choose the "
        "target cpu."
    )


class ProviderUnavailable(UserError):
    code = "session.provider_unavailable"
    sentence = _(
        "The target is {device}, but on no live worker of the queue gpu does {runtime} compute there ({reasons}). "
        "Choose the target cpu, or ask the operators for a worker of the image worker-gpu."
    )
