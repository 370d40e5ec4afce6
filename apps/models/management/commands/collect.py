from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.models.collection import collect


class Command(BaseCommand):
    help = "Removes uploads that were left and files that nothing refers to, and repeats checks whose message was lost."

    def handle(self, *args: Any, **options: Any) -> None:
        done = collect()
        self.stdout.write(
            f"Removed {done.uploads} uploads and {done.blobs} files; asked again for {done.checks_sent} checks."
        )
