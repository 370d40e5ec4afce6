"""Models for operators: workers and limits."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.acceleration import Acceleration
from apps.agents.contracts.sandbox import OPENING_QUEUES, Sandbox
from apps.agents.measuring.scheduling.health import TimingHealth
from apps.agents.sandbox import cores
from apps.agents.techniques.catalogue import BrokenTechnique, catalogue
from apps.models import clock
from apps.optimization.models.retention import days_kept
from apps.optimization.models.step import SessionStep
from apps.optimization.querysets import WORKER_SILENCE, WorkerQuerySet
from apps.optimization.readings import once

SCRATCH_FREE = "scratch_free_bytes"
"""In the description of a worker's machine: the bytes that were free for temporary files when it started."""
SANDBOX = "sandbox"
"""In the same description: the `Sandbox` of its children."""
ACCELERATION = "acceleration"
"""In the same description: the `Acceleration` of its process."""
CODE = "code"
"""In the same description: the digest of the code that it runs (`apps.release`)."""
CLOCK_SKEW = "clock_skew_s"
"""In the same description: how many seconds its clock was ahead of the database's when it started."""
MEASURING_QUEUES = frozenset({"cpu", "gpu"})
LONGEST_STEP_MINUTES = 24 * 60


class Worker(models.Model):
    """A worker process that reported itself, with its capabilities and its current step."""

    name = models.CharField(primary_key=True, max_length=120)
    queues = models.JSONField(default=list)
    machine = models.JSONField(default=dict)
    """`Machine`: CPU, flags, accelerators, library versions; and the `broken_techniques` of its catalogue."""
    measuring_cores = models.JSONField(default=list)
    """The numbers of the cores it measures on; empty means all cores it may use."""
    priority = models.CharField(max_length=60, blank=True)
    """The scheduling priority of its measurements, in words; empty if it measures nothing."""
    timing = models.JSONField(null=True)
    """`TimingHealth` of the last latency comparison on its machine."""
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    current_step = models.ForeignKey(SessionStep, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        """Whether it sent a heartbeat recently."""
        return clock.now() - self.seen_at < WORKER_SILENCE

    @property
    def measures(self) -> bool:
        """Whether it takes steps that measure time."""
        return not MEASURING_QUEUES.isdisjoint(self.queues)

    @property
    def health(self) -> TimingHealth | None:
        """The quality of timing on its machine in the last comparison; `None` before the first."""
        return TimingHealth.model_validate(self.timing) if self.timing else None

    @property
    def written_cores(self) -> str:
        """The cores it measures on, in the notation of `LATHE_CORES`: `2-3,6`."""
        return cores.written(self.measuring_cores)

    @property
    def memory_bytes(self) -> int | None:
        return self.machine.get("memory_bytes")

    @property
    def scratch_free_bytes(self) -> int | None:
        """What was free for temporary files when it started; `None` for a worker of an older version."""
        return self.machine.get(SCRATCH_FREE)

    @property
    def opens_uploads(self) -> bool:
        return not OPENING_QUEUES.isdisjoint(self.queues)

    @property
    def sandbox(self) -> Sandbox | None:
        """What its children are closed in with; `None` for a worker of an older version."""
        return Sandbox.model_validate(self.machine[SANDBOX]) if SANDBOX in self.machine else None

    @property
    def acceleration(self) -> Acceleration:
        """Its devices and what computes on them; none for a worker that serves no device, or of an older version."""
        return Acceleration.model_validate(self.reported_acceleration)

    @property
    def reported_acceleration(self) -> dict[str, Any]:
        """The same as JSON."""
        reported: dict[str, Any] = self.machine.get(ACCELERATION) or Acceleration().model_dump(mode="json")
        return reported

    @property
    def code(self) -> str:
        """The digest of the code that it runs; empty for a worker of an older version."""
        return str(self.machine.get(CODE, ""))

    @property
    def clock_skew_s(self) -> float | None:
        """How far its clock was ahead of the database's when it started; `None` for a worker of an older version."""
        return self.machine.get(CLOCK_SKEW)

    @property
    def libraries(self) -> dict[str, str]:
        """Versions of the installed distributions by name."""
        return self.machine.get("libraries", {})

    @property
    def broken_techniques(self) -> tuple[BrokenTechnique, ...]:
        """What packages that are installed there were to add, and why it is left out."""
        return tuple(BrokenTechnique.model_validate(one) for one in self.machine.get("broken_techniques", ()))


class WorkerCount(models.Model):
    """How many workers were alive, and how many of them busy, at one moment. Where none is, no worker was alive."""

    at = models.DateTimeField(primary_key=True)
    alive = models.PositiveIntegerField()
    busy = models.PositiveIntegerField()

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.busy} of {self.alive} busy"


class PipelineSettings(models.Model):
    """Settings that operators can change, effective immediately."""

    step_time_limit_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_STEP_MINUTES)],
        help_text=_("A step that takes longer is stopped."),
    )
    step_memory_limit_bytes = models.BigIntegerField(
        default=16 * 1024**3,
        validators=[MinValueValidator(256 * 1024**2)],
        help_text=_("A step that takes more memory is stopped and retried with smaller batches."),
    )
    max_attempts = models.PositiveIntegerField(
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text=_("Maximum number of attempts of a step that fails for a transient reason."),
    )
    disabled_techniques = models.JSONField(
        default=list, blank=True, help_text=_("Names of the techniques that are switched off for everyone, as a list.")
    )
    paused_queues = models.JSONField(
        default=list,
        blank=True,
        help_text=_("Queues from which no further step is taken, as a list. Running steps are finished."),
    )
    breaker_failures = models.PositiveIntegerField(
        default=5,
        validators=[MaxValueValidator(100)],
        help_text=_(
            "After so many failures in a row (crashes, memory, time limits), a worker is paused; a technique if they "
            "were on different models. 0 pauses nothing."
        ),
    )
    breaker_window_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(7 * 24 * 60)],
        help_text=_("Failures that lie further apart are not counted together."),
    )
    breaker_cooldown_minutes = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(7 * 24 * 60)],
        help_text=_("How long something is paused before it is tried again. One more failure then pauses it again."),
    )
    share_experience = models.BooleanField(
        default=False,
        help_text=_("Let every team's predictions start from the measurements of all teams, not only from its own."),
    )

    public_links = models.BooleanField(
        default=True,
        help_text=_(
            "Let members share the report of a session by a public link that expires. Switched off, no such link opens."
        ),
    )
    reuse_artifacts = models.BooleanField(
        default=True,
        help_text=_(
            "Take an artifact that a session of the same team made with the same recipe from the same input, instead "
            "of making it again."
        ),
    )

    artifact_days = days_kept(
        _("Days to keep candidates' files of every team, other than winning artifacts. Empty: as each team says.")
    )
    log_days = days_kept(_("Days to keep the log of every team's sessions. Empty: as each team says."))
    session_days = days_kept(
        _("Days to keep whole sessions of every team, with report and package. Empty: as each team says.")
    )

    class Meta:
        verbose_name = verbose_name_plural = _("pipeline settings")

    def __str__(self) -> str:
        return "Pipeline settings"

    def clean(self) -> None:
        """Raises `ValidationError` unless techniques and queues are lists of known names."""
        techniques = gettext("Unknown: {unknown}. The techniques are {known}.")
        _check_names("disabled_techniques", self.disabled_techniques, techniques, tuple(catalogue()))
        queues = gettext("Unknown: {unknown}. The queues are {known}.")
        _check_names("paused_queues", self.paused_queues, queues, tuple(sorted(MEASURING_QUEUES)))

    @classmethod
    def current(cls) -> PipelineSettings:
        return once(cls, lambda: cls.objects.get_or_create(pk=1)[0])


def _check_names(field: str, names: object, sentence: str, known: tuple[str, ...]) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValidationError({field: gettext("Enter a list of names, such as [“{name}”].").format(name=known[0])})
    if unknown := sorted(set(names) - set(known)):
        raise ValidationError({field: sentence.format(unknown=", ".join(unknown), known=", ".join(known))})


def step_memory_limit_bytes() -> int:
    """The admin's current memory limit for a child."""
    return PipelineSettings.current().step_memory_limit_bytes
