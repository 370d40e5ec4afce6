"""`manage.py verify_audit`: verifies the audit trail."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit import trail
from apps.audit.models import AuditEvent


class Command(BaseCommand):
    help = "Verify the chain of audit events. Exits 1 and names the first bad event if one is missing or changed."

    def handle(self, **options: Any) -> None:
        broken = trail.verify()
        if broken is not None:
            raise CommandError(f"The audit trail is broken at event {broken.sequence}: {broken.reason}.")
        count = AuditEvent.objects.count()
        self.stdout.write(self.style.SUCCESS(f"The audit trail is intact: {count} events."))
