"""What can be done to several deliveries at once. Each is checked and recorded as if it were the only one."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.bulk import Act
from apps.notifications.models import Delivery, DeliveryStatus
from apps.notifications.services import replay


def _not_yet(delivery: Delivery) -> str:
    return gettext("It still waits for its next attempt.") if delivery.status == DeliveryStatus.WAITING else ""


def _send_again(delivery: Delivery, user: User) -> None:
    replay(user, delivery)


DELIVERY_ACTS: dict[str, Act[Delivery]] = {
    "resend": Act(
        "resend",
        _("Send again"),
        _("put out again"),
        _("The message goes out again, with the same id, by which its receiver knows it."),
        _not_yet,
        _send_again,
    )
}
