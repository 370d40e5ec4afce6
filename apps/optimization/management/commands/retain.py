"""`manage.py retain`: removes what teams no longer keep, or says what that would be."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.optimization import retention
from apps.optimization.models import RetentionPolicy
from apps.optimization.retention import Removal


class Command(BaseCommand):
    help = "Remove what teams no longer keep by their retention. Workers do it every hour by themselves."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", help="the slug of one team; every team with a retention otherwise")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, **options: Any) -> None:
        policies = RetentionPolicy.objects.select_related("team")
        if options["team"]:
            policies = policies.filter(team__slug=options["team"])
        if not policies:
            raise CommandError("No retention is set: nothing is removed.")
        for policy in policies:
            dry = options["dry_run"]
            removal = retention.would_go(policy.team, policy) if dry else retention.apply(policy)
            self.stdout.write(f"{policy.team.slug}: {_told(removal, 'would go' if dry else 'removed')}.")


def _told(removal: Removal, verb: str) -> str:
    files = f"{removal.artifacts:,} files of candidates ({removal.artifact_bytes / 1e6:,.1f} MB)"
    return f"{removal.sessions:,} sessions, {files} and {removal.log_lines:,} lines of logs {verb}"
