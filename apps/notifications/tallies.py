"""What is counted of notifications."""

from __future__ import annotations

from apps.monitoring.tallies import Family

_MEDIA = ("email", "webhook", "chat")

DELIVERIES = Family(
    "lathe_notification_deliveries",
    "Messages to channels that were delivered or given up.",
    {"medium": _MEDIA, "result": ("delivered", "given_up")},
)
ATTEMPTS = Family(
    "lathe_notification_attempts",
    "Attempts to deliver a message.",
    {"medium": _MEDIA, "result": ("succeeded", "failed")},
)
