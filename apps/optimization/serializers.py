"""Sessions and their rows in API responses, and the bodies of API requests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.plan_edits import PlanEdits
from apps.agents.contracts.reports.evaluation import EvaluationReport as Evaluation
from apps.agents.contracts.state import Earlier, Outcome, Plan, Prediction, Status, Verdict
from apps.api import json_of
from apps.optimization.lineage import Lineage, Link, runtime_of_candidate
from apps.optimization.models import (
    Candidate,
    EvaluationReport,
    LogEntry,
    OptimizationSession,
    SessionStep,
)
from apps.optimization.progress import Course, courses_of
from apps.optimization.serializers_criteria import CriteriaChoiceSerializer, resolutions_field
from apps.optimization.taking_over import TakenOver
from apps.optimization.waiting import Wait, own_times_s, waits_of

COLLECTED = (
    "When the session let the file go, because nothing in it read the file any more; null while it is kept. "
    "`GET /api/v1/sessions/{id}/recipe/?step=…` has the recipe that makes it again."
)


# --- out -------------------------------------------------------------------------------------------------------------


class OutcomeField(serializers.ChoiceField):
    """Null until the session is completed."""

    def to_representation(self, value: Any) -> Any:
        return value or None


class SessionSerializer(serializers.ModelSerializer[OptimizationSession]):
    """`status` and `phase` show the session's state, `error` why it failed, and `verdict` how it ended.

    `edits` are the changes of the plan that `created_by` made before the start, and `plan.edits` says what became of
    each. `sessions_before` is the number of sessions already judged on the same data when it started. `outcome` is
    `improved`; `unchanged`, if the original stands; `not_measured`, if nothing was measured; or `inconclusive`, if the
    machine was too busy to time a candidate that may be better. A comparison, which measures the version `compared`
    against `version` and optimizes nothing, ends with `proven`, `violated` or `inconclusive`. `continues` is the
    session whose results it takes over (null once that is deleted), and `earlier` what that had left.
    """

    team: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    model = serializers.IntegerField(source="version.model_id", read_only=True)
    title = serializers.CharField(source="__str__", read_only=True)
    criteria = json_of(Criteria, source="criteria_body", read_only=True)
    edits = json_of(PlanEdits, source="edits_body", read_only=True)
    plan = json_of(Plan, read_only=True, allow_null=True)
    verdict = json_of(Verdict, read_only=True, allow_null=True)
    progress = serializers.SerializerMethodField(help_text="The share of its expected seconds of work that is done.")
    eta_s = serializers.SerializerMethodField(help_text="Seconds of work that are left; null before there is a plan.")
    elapsed_s = serializers.FloatField(
        read_only=True,
        help_text="Wall-clock seconds since it began, including waiting, without the pause before a resume.",
    )
    worked_s = serializers.SerializerMethodField(
        help_text="Seconds during which at least one of its steps ran. The budget of minutes counts these."
    )
    waited_s = serializers.SerializerMethodField(help_text="Seconds since it began during which none of its steps ran.")
    waiting = serializers.SerializerMethodField(
        help_text="Its position in the queue and an estimate while none of its steps runs; otherwise null."
    )
    earlier = json_of(Earlier, read_only=True, allow_null=True)
    outcome = OutcomeField(choices=[one.value for one in Outcome], read_only=True, allow_null=True)
    has_package = serializers.SerializerMethodField()
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True, read_only=True)

    class Meta:
        model = OptimizationSession
        fields = (
            "id",
            "team",
            "title",
            "model",
            "version",
            "student",
            "compared",
            "dataset",
            "criteria_set",
            "criteria",
            "edits",
            "seed",
            "status",
            "phase",
            "progress",
            "eta_s",
            "elapsed_s",
            "worked_s",
            "waited_s",
            "waiting",
            "outcome",
            "verdict",
            "plan",
            "error_code",
            "error",
            "cancel_requested_at",
            "has_package",
            "result_version",
            "retry_of",
            "continues",
            "earlier",
            "make_anew",
            "sessions_before",
            "created_by",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

    def get_has_package(self, session: OptimizationSession) -> bool:
        return session.package_id is not None

    def get_progress(self, session: OptimizationSession) -> float:
        return self._courses[session.pk].progress

    def get_eta_s(self, session: OptimizationSession) -> float | None:
        return self._courses[session.pk].eta_s

    def get_worked_s(self, session: OptimizationSession) -> float:
        return self._own_times_s[session.pk]

    def get_waited_s(self, session: OptimizationSession) -> float:
        return max(0.0, session.elapsed_s() - self._own_times_s[session.pk])

    @extend_schema_field(json_of(Wait, read_only=True, allow_null=True))
    def get_waiting(self, session: OptimizationSession) -> dict[str, Any] | None:
        wait = self._waits.get(session.pk)
        return wait.model_dump(mode="json") if wait else None

    # Read once for all sessions in the response.

    @cached_property
    def _waits(self) -> Mapping[UUID, Wait]:
        return waits_of(self._shown)

    @cached_property
    def _courses(self) -> Mapping[UUID, Course]:
        return courses_of(self._shown)

    @cached_property
    def _own_times_s(self) -> Mapping[UUID, float]:
        return own_times_s(self._shown)

    @property
    def _shown(self) -> list[OptimizationSession]:
        given: Any = self.parent.instance if isinstance(self.parent, serializers.ListSerializer) else [self.instance]
        return list(given)


class StepSerializer(serializers.ModelSerializer[SessionStep]):
    artifact_sha256 = serializers.CharField(source="artifact_id", read_only=True, allow_null=True)
    collected_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text=COLLECTED)
    evidence = serializers.DictField(
        source="result.evidence",
        read_only=True,
        default=dict,
        help_text="What its technique found out while it was applied, by names of its own.",
    )
    curves = serializers.DictField(
        child=serializers.ListField(child=serializers.ListField(child=serializers.FloatField())),
        read_only=True,
        help_text="What it measured while it trained, such as the loss: pairs of training step and value by name.",
    )
    duration_s = serializers.FloatField(read_only=True, allow_null=True)
    taken_from = serializers.SerializerMethodField(
        help_text="The session and step whose result it took over instead of being carried out; null if it was not."
    )
    parent_key = serializers.CharField(
        read_only=True, help_text="The step whose artifact it starts from, `model` in `parents`; empty is the original."
    )
    parents = serializers.DictField(
        child=serializers.CharField(),
        read_only=True,
        help_text="The step whose artifact is each of its inputs, by role; `original` is the session's original. "
        "Without the role `model` it starts from the original.",
    )

    class Meta:
        model = SessionStep
        fields = (
            "key",
            "kind",
            "queue",
            "candidate_key",
            "technique",
            "parameters",
            "parent_key",
            "parents",
            "reason",
            "status",
            "progress",
            "message",
            "eta_s",
            "attempt",
            "not_before",
            "worker",
            "artifact_sha256",
            "artifact_filename",
            "collected_at",
            "taken_from",
            "error_code",
            "error",
            "evidence",
            "curves",
            "duration_s",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(json_of(TakenOver, read_only=True, allow_null=True))
    def get_taken_from(self, step: SessionStep) -> dict[str, Any] | None:
        return step.taken_from or None


class EvaluationSerializer(serializers.ModelSerializer[EvaluationReport]):
    body = json_of(Evaluation, read_only=True)
    metric_drop = serializers.FloatField(
        read_only=True, help_text="Drop of the primary metric. A positive number is a loss."
    )

    class Meta:
        model = EvaluationReport
        exclude = ("candidate", "step")


class ChainLinkSerializer(serializers.Serializer[Link]):
    """One technique of a candidate's chain; `size_bytes` and `digest` (SHA-256) are those of what it has made.

    `step` is the key of the step that applies it, with its `status` and, where it failed, its `error`.
    """

    title = serializers.CharField()
    variant = serializers.CharField(help_text="What the parameters make of the technique; may be empty.")
    technique = serializers.CharField()
    parameters = serializers.DictField()
    size_bytes = serializers.IntegerField(allow_null=True)
    digest = serializers.CharField(allow_null=True)
    checks = serializers.ListField(child=serializers.CharField())
    evidence = serializers.DictField(help_text="What the technique found out while it was applied.")
    step = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=[one.value for one in Status], allow_null=True)
    error = serializers.CharField(allow_null=True)
    collected_at = serializers.DateTimeField(allow_null=True, help_text=COLLECTED)


class CandidateSerializer(serializers.ModelSerializer[Candidate]):
    """`runtime` is the candidate's own: a PyTorch model may become an ONNX Runtime model."""

    parameters: Any = serializers.DictField(source="last.parameters", read_only=True)
    steps = serializers.SerializerMethodField()
    predicted = json_of(Prediction, read_only=True)
    runtime = serializers.SerializerMethodField()
    evaluation = EvaluationSerializer(read_only=True, allow_null=True, default=None)

    class Meta:
        model = Candidate
        fields = (
            "key",
            "title",
            "technique",
            "parameters",
            "steps",
            "parent_key",
            "predicted",
            "runtime",
            "status",
            "reason",
            "score",
            "evaluation",
        )
        read_only_fields = fields

    @extend_schema_field(ChainLinkSerializer(many=True))
    def get_steps(self, candidate: Candidate) -> list[dict[str, Any]]:
        return [link.model_dump(mode="json") for link in self._lineage(candidate).links(candidate)]

    def get_runtime(self, candidate: Candidate) -> str:
        return runtime_of_candidate(candidate.session, candidate)

    def _lineage(self, candidate: Candidate) -> Lineage:
        """Read once for all candidates of a session that are shown together."""
        return self._lineages.setdefault(candidate.session_id, Lineage(candidate.session))

    @cached_property
    def _lineages(self) -> dict[UUID, Lineage]:
        return {}


class LogEntrySerializer(serializers.ModelSerializer[LogEntry]):
    class Meta:
        model = LogEntry
        fields = ("id", "at", "level", "step_key", "message")
        read_only_fields = fields


# --- in --------------------------------------------------------------------------------------------------------------


class QuestionSerializer(CriteriaChoiceSerializer):
    """The request: a version, a data set, and either named or inline criteria, or else the member's or the team's
    default. `overrides` are applied on top.
    """

    version = serializers.IntegerField(help_text="A version's id.")
    dataset = serializers.IntegerField(help_text="A data set's id.")
    student = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="The id of another version, which is trained with `version` as its teacher.",
    )
    resolutions = resolutions_field()
    edits = json_of(
        PlanEdits,
        required=False,
        help_text="Changes of the plan: candidates to remove, to pin and to add, each named by its chain, parameters "
        "set by hand, and layers that stay in float.",
    )


class NewSessionSerializer(QuestionSerializer):
    seed = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    start_anyway = serializers.BooleanField(
        default=False, help_text="Start even if the preview finds nothing to try (`session.nothing_to_try`)."
    )
    make_anew = serializers.BooleanField(
        default=False,
        help_text="Make every artifact, even if a session of the team has made the same with the same recipe.",
    )


class ContinuationSerializer(serializers.Serializer[Any]):
    """The changed criteria: named, inline, or the session's own with `overrides`. Everything else stays.

    `version` and `dataset` need not be given. If they are, they must be those of the session.
    """

    criteria_set = serializers.IntegerField(required=False, help_text="The id of named criteria.")
    criteria = json_of(Criteria, required=False)
    overrides = serializers.DictField(
        required=False, help_text="Fields of the criteria to replace, in the same structure."
    )
    resolutions = resolutions_field()
    version = serializers.IntegerField(required=False)
    dataset = serializers.IntegerField(required=False)


class PromotionSerializer(serializers.Serializer[Any]):
    alias = serializers.SlugField(max_length=60, default="production")


class TakeSerializer(serializers.Serializer[Any]):
    candidate = serializers.CharField(max_length=20, help_text="The key of a candidate, such as `c02`.")


class PromotionRollbackSerializer(serializers.Serializer[Any]):
    alias = serializers.SlugField(max_length=60, default="production")
    reason = serializers.CharField(max_length=500)


class PromotedSerializer(serializers.Serializer[Any]):
    """The version the alias now points at."""

    alias = serializers.CharField()
    version = serializers.IntegerField(help_text="The version's id.")
    number = serializers.IntegerField(help_text="Its number within the model.")
