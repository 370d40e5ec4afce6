"""Speed by batch size and threads."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class SpeedGridInvalid(UserError):
    code = "session.speed_grid_invalid"
    sentence = _(
        "The speed cannot be measured like this: {reason}. Give up to 8 whole numbers each, such as 1, 8, 32 for batch "
        "sizes and 1, 2 for threads."
    )


class SpeedNotMeasurable(UserError):
    code = "session.speed_not_measurable"
    status = 409
    sentence = _(
        "The speed of {candidate} cannot be measured: it was never made, or its file is not kept any more. Take it "
        "instead of what is delivered, and it is made again."
    )
