"""Workers, storage, retention and the audit trail in API responses and requests."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.serializers import TeamChoice
from apps.agents.contracts.acceleration import Acceleration
from apps.agents.measuring.scheduling.health import Health, TimingHealth
from apps.api import json_of
from apps.audit.models import AuditEvent
from apps.optimization.models import Worker


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """`alive` is whether it sent a heartbeat recently. `current_step` is shown only to the team that owns the session.

    `timing` describes the machine during its last latency comparison, `spread` is how far from 1 the original measured
    against itself, and `health` rates that. They are null before the first comparison. `priority` is the scheduling
    priority of its measurements, and `measuring_cores` are the cores they are bound to. `sandbox` is how far the
    processes that open uploads are closed in, and what uploaded code could do all the same. It is null for a worker
    that opens none. `acceleration` has its `devices`, with memory and compute capability, and of each runtime
    whether it was seen to compute there, with its execution providers or the reason. Both are empty for a worker of
    other queues than gpu. `code` is a digest of the code it runs, and `clock_skew_s` how far its clock was ahead of the
    database's when it started. `paused` says why it takes no steps although it is alive: it has failed too often in a
    row. It is empty otherwise.
    """

    timing = json_of(TimingHealth, read_only=True, allow_null=True)
    health = serializers.ChoiceField(
        choices=[one.value for one in Health], source="health.state", default=None, read_only=True, allow_null=True
    )
    spread = serializers.FloatField(source="health.spread", default=None, read_only=True, allow_null=True)
    measuring_cores = serializers.ListField(child=serializers.IntegerField(), read_only=True)
    acceleration = json_of(Acceleration, source="reported_acceleration", read_only=True)
    code = serializers.CharField(read_only=True)
    clock_skew_s = serializers.FloatField(read_only=True, allow_null=True)
    alive = serializers.SerializerMethodField()
    paused = serializers.SerializerMethodField()
    sandbox = serializers.SerializerMethodField()
    current_step = serializers.SerializerMethodField()

    class Meta:
        model = Worker
        fields = (
            "name",
            "alive",
            "paused",
            "queues",
            "machine",
            "measuring_cores",
            "priority",
            "timing",
            "health",
            "spread",
            "sandbox",
            "acceleration",
            "code",
            "clock_skew_s",
            "started_at",
            "seen_at",
            "current_step",
        )
        read_only_fields = fields

    def get_alive(self, worker: Worker) -> bool:
        return worker.is_alive

    def get_paused(self, worker: Worker) -> str:
        paused: dict[str, str] = self.context.get("paused", {})
        return paused.get(worker.name, "")

    @extend_schema_field(
        {"type": "object", "nullable": True, "example": {"level": "partial", "gaps": ["use the network (seccomp)"]}}
    )
    def get_sandbox(self, worker: Worker) -> dict[str, Any] | None:
        found = worker.sandbox if worker.opens_uploads else None
        return None if found is None else {"level": found.level.value, "gaps": list(found.gaps)}

    @extend_schema_field({"type": "object", "nullable": True, "example": {"session": "0b2c…", "key": "evaluate-c01"}})
    def get_current_step(self, worker: Worker) -> dict[str, str] | None:
        step = worker.current_step
        teams: set[int] = self.context.get("teams", set())
        if step is None or step.session.team_id not in teams:
            return None
        return {"session": str(step.session_id), "key": step.key}


class ChainSerializer(serializers.Serializer[Any]):
    """Both are null before the first verification."""

    whole = serializers.BooleanField(allow_null=True)
    verified_at = serializers.DateTimeField(allow_null=True)


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    """`number` counts the team's events without gaps. `sequence` counts the events of all teams, which
    share one chain.
    """

    class Meta:
        model = AuditEvent
        fields = (
            "sequence",
            "number",
            "at",
            "team",
            "session",
            "actor_kind",
            "actor",
            "action",
            "subject",
            "reason",
            "data",
            "previous",
            "digest",
        )
        read_only_fields = fields


class RemovalSerializer(serializers.Serializer[Any]):
    """What a team's retention removes, or would remove."""

    sessions = serializers.IntegerField()
    artifacts = serializers.IntegerField()
    artifact_bytes = serializers.IntegerField()
    log_lines = serializers.IntegerField()


class DaysSerializer(serializers.Serializer[Any]):
    """Days, or null for forever."""

    artifact_days = serializers.IntegerField(allow_null=True)
    log_days = serializers.IntegerField(allow_null=True)
    session_days = serializers.IntegerField(allow_null=True)


class StorageSerializer(serializers.Serializer[Any]):
    """Bytes by kind. A file that two kinds refer to counts in both, but once in `used_bytes`. Null means no quota."""

    used_bytes = serializers.IntegerField()
    quota_bytes = serializers.IntegerField(allow_null=True)
    models_bytes = serializers.IntegerField()
    datasets_bytes = serializers.IntegerField()
    candidates_bytes = serializers.IntegerField()
    checkpoints_bytes = serializers.IntegerField()
    packages_bytes = serializers.IntegerField()
    answers_bytes = serializers.IntegerField()
    uploads_bytes = serializers.IntegerField()
    artifact_days = serializers.IntegerField(source="policy.artifact_days", allow_null=True)
    log_days = serializers.IntegerField(source="policy.log_days", allow_null=True)
    session_days = serializers.IntegerField(source="policy.session_days", allow_null=True)
    in_force = DaysSerializer(help_text="The days that hold: the team's, or the installation's where those are fewer.")
    would_go = RemovalSerializer(help_text="What the retention in force would remove now.")


class RetentionSerializer(TeamChoice):
    """Days, or null for forever. Omitted fields stay unchanged."""

    artifact_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=36_500)
    log_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=36_500)
    session_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=36_500)
    dry_run = serializers.BooleanField(required=False, default=False, help_text="Only report what would be removed.")
