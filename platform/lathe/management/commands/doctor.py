"""`manage.py doctor`: checks this deployment and says what to mend."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lathe.doctor.examination import examine
from lathe.doctor.findings import Finding, State

WORDS = {State.OK: "ok", State.WARNING: "doubtful", State.FAILED: "failed"}


class Command(BaseCommand):
    help = "Check this deployment and say what to mend. Exits with 1 if something failed, or with --strict is doubtful."
    requires_system_checks: Any = ()
    """They are among the findings, and must not stop the others."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="write the findings as JSON")
        parser.add_argument("--strict", action="store_true", help="exit with 1 on warnings, too")

    def handle(self, *, json: bool, strict: bool, **options: Any) -> None:
        findings = examine()
        bad = {State.FAILED, State.WARNING} if strict else {State.FAILED}
        healthy = not any(one.state in bad for one in findings)
        self.stdout.write(_as_json(findings, healthy) if json else self._as_text(findings))
        if not healthy:
            raise SystemExit(1)

    def _as_text(self, findings: tuple[Finding, ...]) -> str:
        lines = [line for one in findings for line in self._lines(one)]
        counted = (f"{sum(one.state is state for one in findings)} {WORDS[state]}" for state in State)
        return "\n".join([*lines, "", f"{', '.join(counted)}."])

    def _lines(self, finding: Finding) -> list[str]:
        style = {State.OK: self.style.SUCCESS, State.WARNING: self.style.WARNING, State.FAILED: self.style.ERROR}
        line = f"{style[finding.state](f'{WORDS[finding.state]:<9}')}{finding.check:<22} {finding.sentence}"
        return [line, f"{'':<32}→ {finding.mend}"] if finding.mend else [line]


def _as_json(findings: tuple[Finding, ...], healthy: bool) -> str:
    return json.dumps({"healthy": healthy, "findings": [dataclasses.asdict(one) for one in findings]}, indent=2)
