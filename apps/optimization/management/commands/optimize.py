"""`manage.py optimize`: starts a session from the command line, with the same service as the page and the API."""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Status
from apps.errors import UserError
from apps.models.models import DataSet, ModelVersion
from apps.optimization import exit_codes
from apps.optimization.models import CriteriaSet, OptimizationSession
from apps.optimization.progress import courses_of
from apps.optimization.services import session_start, use_of, wanted_criteria, what_is_decided
from apps.optimization.waiting import waits_of

POLL_S = 1.0


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"this is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError('enter a JSON object, such as {"budget": {"minutes": 5}}')
    return value


class Command(BaseCommand):
    help = "Start to optimize a model version on behalf of a member. Workers do the work."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="the model's name, with /NUMBER for a version other than the newest")
        parser.add_argument("dataset", help="the data set's name")
        parser.add_argument("--user", required=True, help="the e-mail address of the member to act as")
        parser.add_argument("--criteria", default="balanced", help="the name of criteria (default: balanced)")
        parser.add_argument(
            "--set", type=_json_object, default={}, help="JSON object to override fields of the criteria"
        )
        parser.add_argument(
            "--student", help="a model, named in the same way, that is trained with MODEL as its teacher"
        )
        parser.add_argument(
            "--edits", type=_json_object, default={}, help="JSON object with changes of the plan (docs/api.md)"
        )
        parser.add_argument("--seed", type=int)
        parser.add_argument("--start-anyway", action="store_true", help="start even if nothing can be tried")
        parser.add_argument(
            "--wait",
            action="store_true",
            help=f"wait until it ends; exit 0 on a verdict, {exit_codes.SAID}, 1 if it failed",
        )

    def handle(self, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no member {options['user']}. Check the e-mail address.")
        version = self._version(user, options["model"])
        student = self._version(user, options["student"]) if options["student"] else None
        dataset = self._dataset(user, version, options["dataset"])
        criteria = self._criteria(user, version, options["criteria"])
        try:
            foresight = self._foresight(version, dataset, wanted_criteria(criteria, None, options["set"]))
            session = session_start(
                user=user,
                version=version,
                dataset=dataset,
                student=student,
                criteria_set=criteria,
                overrides=options["set"],
                edits=options["edits"],
                seed=options["seed"],
                start_anyway=options["start_anyway"],
            )
        except (UserError, PermissionDenied) as error:
            raise CommandError(str(error)) from None
        self.stderr.write(foresight)
        self.stdout.write(str(session.pk))
        if options["wait"]:
            self._wait(session)

    @staticmethod
    def _foresight(version: ModelVersion, dataset: DataSet, criteria: Criteria) -> str:
        """What the data can decide, and what its earlier use means; empty while the data is being checked."""
        if not dataset.ready:
            return ""
        decided, use = what_is_decided(version, dataset, criteria), use_of(dataset, criteria)
        return " ".join(filter(None, (decided.sentence, decided.advice, use.sentence, use.advice)))

    @staticmethod
    def _version(user: User, text: str) -> ModelVersion:
        name, _, number = text.partition("/")
        versions = ModelVersion.objects.visible_to(user).filter(model__name=name).order_by("-number")
        if number:
            versions = versions.filter(number=number) if number.isdecimal() else versions.none()
        version = versions.first()
        if version is None:
            raise CommandError(f"There is no model version {text} that {user.email} can see.")
        return version

    @staticmethod
    def _dataset(user: User, version: ModelVersion, name: str) -> DataSet:
        dataset = DataSet.objects.visible_to(user).filter(team=version.model.team, name=name).first()
        if dataset is None:
            raise CommandError(f"The team {version.model.team} has no data set {name}.")
        return dataset

    @staticmethod
    def _criteria(user: User, version: ModelVersion, name: str) -> CriteriaSet:
        named = CriteriaSet.objects.visible_to(user).current().filter(name=name)
        criteria = named.filter(team=version.model.team).first() or named.filter(team=None).first()
        if criteria is None:
            raise CommandError(f"There are no criteria called {name}.")
        return criteria

    def _wait(self, session: OptimizationSession) -> None:
        shown = ""
        while session.is_active:
            wait = waits_of([session]).get(session.pk)
            now = f"{session.phase} {courses_of([session])[session.pk].progress:.0%}" + (
                f", waiting: {wait.sentence}" if wait else ""
            )
            if now != shown:
                self.stdout.write(now)
                shown = now
            time.sleep(POLL_S)
            session.refresh_from_db()
        if session.status != Status.COMPLETED:
            raise CommandError(f"The session is {session.status}. {session.error}")
        assert session.verdict is not None
        headline, advice = session.headline, session.verdict.get("advice")
        cost = (session.verdict.get("choice") or {}).get("sentence")
        parts = [f"{headline.sentence}." if headline else "", session.verdict["reason"], cost, advice]
        text = " ".join(filter(None, parts))
        if (code := exit_codes.UNDECIDED.get(session.outcome)) is not None:
            raise CommandError(text, returncode=code)
        self.stdout.write(self.style.SUCCESS(text))
