"""`manage.py retain`: removes what teams no longer keep, or shows what would be removed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.optimization import retention
from apps.optimization.retention import Removal


class Command(BaseCommand):
    help = "Remove what teams no longer keep under their retention. Workers also do this every hour."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", help="the slug of one team (default: all teams with a retention)")
        parser.add_argument("--dry-run", action="store_true", help="only show what would be removed")

    def handle(self, **options: Any) -> None:
        policies = [one for one in retention.policies() if options["team"] in (None, "", one.team.slug)]
        if not policies:
            raise CommandError("No retention is set, so nothing was removed.")
        for policy in policies:
            dry = options["dry_run"]
            removal = retention.would_go(policy.team, policy) if dry else retention.apply(policy)
            self.stdout.write(f"{policy.team.slug}: {_summary(removal, 'would be removed' if dry else 'removed')}.")


def _summary(removal: Removal, verb: str) -> str:
    files = f"{removal.artifacts:,} candidate files ({removal.artifact_bytes / 1e6:,.1f} MB)"
    return f"{removal.sessions:,} sessions, {files} and {removal.log_lines:,} log lines {verb}"
