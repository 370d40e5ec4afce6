from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.models.collection import collect


class Command(BaseCommand):
    help = "Remove expired uploads and unreferenced files, and send lost check messages again."

    def handle(self, *args: Any, **options: Any) -> None:
        done = collect()
        self.stdout.write(
            f"Removed {done.uploads} uploads and {done.blobs} files; sent {done.checks_sent} checks again."
        )
