"""`manage.py verify_audit`: verifies the audit trail."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.verification import verified


class Command(BaseCommand):
    help = "Verify the chain of audit events. Exits 1 and names the first bad event if one is missing or changed."

    def handle(self, **options: Any) -> None:
        found = verified()
        if not found.whole:
            raise CommandError(found.sentence)
        self.stdout.write(self.style.SUCCESS(found.sentence))
