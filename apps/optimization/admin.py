"""The admin of sessions: operators view, retry and cancel them, and edit criteria and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.accounts.audited import Audited
from apps.accounts.models import User
from apps.admin import ReadOnly
from apps.agents.techniques.catalogue import catalogue
from apps.audit.models import AuditEvent
from apps.bulk import act_on_each
from apps.optimization import breakers, criteria, services
from apps.optimization import messages as messages_of_work
from apps.optimization.errors.criteria import CriteriaContradictory, CriteriaInvalid
from apps.optimization.models import (
    MEASURING_QUEUES,
    AnalysisReport,
    AuditVerification,
    Breaker,
    Candidate,
    CriteriaSet,
    DefaultCriteria,
    Dismissal,
    EvaluationReport,
    Experience,
    KeptAnswers,
    LogEntry,
    OptimizationSession,
    PipelineSettings,
    ReportLink,
    RetentionPolicy,
    SearchTrial,
    SessionComment,
    SessionFingerprint,
    SessionStep,
    SessionTemplate,
    Worker,
    WorkerCount,
)


class StepInline(ReadOnly, admin.TabularInline):
    model = SessionStep
    fields = ("key", "kind", "status", "attempt", "worker", "error_code", "started_at", "finished_at")
    readonly_fields = fields
    extra = 0
    show_change_link = True


@admin.register(OptimizationSession)
class SessionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("__str__", "team", "status", "phase", "outcome", "created_by", "created_at", "finished_at")
    list_filter = ("status", "phase", "outcome", "team", "created_at")
    search_fields = ("id", "version__model__name", "dataset__name", "created_by__email", "error_code", "error")
    list_select_related = ("version__model", "team", "created_by")
    date_hierarchy = "created_at"
    inlines = (StepInline,)
    actions = ("retry", "cancel", "resume", "remove")
    show_full_result_count = False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the operator may act on sessions, which requires Django's change permission."""
        return request.user.has_perm("optimization.change_optimizationsession")

    @admin.action(description=_("Retry as new sessions"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OptimizationSession]) -> None:
        self._each(request, queryset, services.session_retry, _("started again"))

    @admin.action(description=_("Cancel"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[OptimizationSession]) -> None:
        self._each(request, queryset, services.session_cancel, _("being cancelled"))

    @admin.action(description=_("Resume where they stopped"), permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[OptimizationSession]) -> None:
        self._each(request, queryset, services.session_resume, _("resumed"))

    @admin.action(description=_("Delete with their reports and files"), permissions=["operate"])
    def remove(self, request: HttpRequest, queryset: QuerySet[OptimizationSession]) -> None:
        self._each(request, queryset, services.session_delete, _("deleted"))

    def _each(
        self,
        request: HttpRequest,
        sessions: Iterable[OptimizationSession],
        act: Callable[..., object],
        done: Promise,
    ) -> None:
        """Applies `act` to each session and reports each failure. Operators can act on sessions of any team."""
        outcomes = act_on_each(sessions, lambda session: act(session, request.user, as_operator=True))
        for one in outcomes:
            if not one.done:
                self.message_user(request, f"{one.title}: {one.message}", messages.ERROR)
        moved = sum(one.done for one in outcomes)
        if moved:
            sentence = ngettext("{number} session {done}.", "{number} sessions {done}.", moved)
            self.message_user(request, sentence.format(number=moved, done=done), messages.SUCCESS)


@admin.register(SessionStep)
class StepAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("key", "session", "kind", "status", "queue", "attempt", "worker", "error_code", "started_at")
    list_filter = ("status", "kind", "queue", "technique", "error_code")
    search_fields = ("key", "session__id", "worker", "technique", "error_code", "error", "traceback")
    list_select_related = ("session__version__model",)


@admin.register(SearchTrial)
class SearchTrialAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("number", "search", "session", "state", "loss", "latency_ms", "parameters", "made_at")
    list_filter = ("made_at",)
    search_fields = ("session__id", "search", "step_key")
    list_select_related = ("session__version__model",)


@admin.register(Candidate)
class CandidateAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("key", "title", "session", "technique", "status", "score")
    list_filter = ("status", "technique")
    search_fields = ("session__id", "title", "reason")
    list_select_related = ("session__version__model",)


@admin.register(AnalysisReport)
class AnalysisAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("session", "created_at")
    search_fields = ("session__id", "session__version__model__name")
    list_filter = ("created_at",)
    list_select_related = ("session__version__model",)
    readonly_fields = ("body",)


@admin.register(EvaluationReport)
class EvaluationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("candidate", "verdict", "speedup", "size_ratio", "metric_drop", "created_at")
    list_filter = ("verdict", "created_at")
    search_fields = ("candidate__session__id", "candidate__title")
    list_select_related = ("candidate",)
    readonly_fields = ("body",)


@admin.register(KeptAnswers)
class KeptAnswersAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("step", "blob")
    search_fields = ("step__session__id", "step__key")
    list_select_related = ("step", "blob")


@admin.register(LogEntry)
class LogAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("at", "level", "session", "step_key", "message")
    list_filter = ("level", "at")
    search_fields = ("session__id", "step_key", "message")
    list_select_related = ("session__version__model",)
    date_hierarchy = "at"


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "alive", "queues", "current_step", "started_at", "seen_at")
    list_filter = ("seen_at",)
    search_fields = ("name", "machine")
    list_select_related = ("current_step",)

    @admin.display(boolean=True)
    def alive(self, worker: Worker) -> bool:
        return worker.is_alive


@admin.register(SessionComment)
class CommentAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("session", "author", "created_at", "edited_at")
    list_filter = ("created_at",)
    search_fields = ("session__id", "author__email", "text")
    list_select_related = ("session__version__model", "author")


@admin.register(ReportLink)
class ReportLinkAdmin(ReadOnly, admin.ModelAdmin):
    """Public links to reports. Members make and revoke them; the pipeline settings switch all of them off."""

    list_display = ("session", "created_by", "created_at", "expires_at", "revoked_at")
    list_filter = ("created_at", "expires_at")
    search_fields = ("session__id", "created_by__email")
    list_select_related = ("session__version__model", "created_by")
    exclude = ("token_digest",)


@admin.register(Dismissal)
class DismissalAdmin(ReadOnly, admin.ModelAdmin):
    """What members have taken off their dashboards."""

    list_display = ("user", "session", "version", "dataset", "alias_request")
    search_fields = ("user__email",)
    list_select_related = (
        "user",
        "session__version__model",
        "version__model",
        "dataset",
        "alias_request__alias__model",
    )


@admin.register(SessionTemplate)
class SessionTemplateAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("model", "name", "is_default", "dataset", "criteria_set", "created_by", "created_at")
    list_filter = ("is_default", "model__team")
    search_fields = ("name", "model__name")
    list_select_related = ("model", "dataset", "criteria_set", "created_by")


@admin.register(WorkerCount)
class WorkerCountAdmin(ReadOnly, admin.ModelAdmin):
    """How many workers were alive and busy, every five minutes of the last week."""

    list_display = ("at", "alive", "busy")
    date_hierarchy = "at"


@admin.register(AuditVerification)
class VerificationAdmin(ReadOnly, admin.ModelAdmin):
    """Whether the audit trail was whole when it was last verified."""

    list_display = ("at", "sentence", "took_s")


@admin.register(AuditEvent)
class AuditAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("sequence", "team", "number", "at", "actor", "actor_kind", "action", "subject", "reason")
    list_select_related = ("team",)
    show_full_result_count = False
    list_filter = ("actor_kind", "action", "at")
    search_fields = ("actor", "action", "subject", "reason", "session__id", "digest")
    list_display_links = ("sequence",)
    date_hierarchy = "at"
    ordering = ("-sequence",)


# --- configuration ---------------------------------------------------------------------------------------------------


class CriteriaSetForm(forms.ModelForm):
    """Reports each problem of `body` with the path of the invalid field."""

    class Meta:
        model = CriteriaSet
        fields = ("team", "name", "description", "body")

    def clean_body(self) -> dict[str, Any]:
        try:
            return criteria.consistent(self.cleaned_data["body"]).model_dump(mode="json")
        except CriteriaContradictory as error:
            problems = [f"{', '.join(one.fields)}: {one.message} ({one.code})" for one in error.firm]
            raise forms.ValidationError([error.message, *problems], code=error.code) from error
        except CriteriaInvalid as error:
            problems = [f"{problem['field'] or 'body'}: {problem['message']}" for problem in error.problems]
            raise forms.ValidationError(problems) from error
        except (TypeError, ValueError) as error:
            raise forms.ValidationError(_("body: enter a JSON object, such as {“objective”: “size”}.")) from error


@admin.register(CriteriaSet)
class CriteriaSetAdmin(admin.ModelAdmin):
    """Saving a change creates a new version. The old one stays unchanged, because sessions refer to it."""

    form = CriteriaSetForm
    list_display = ("name", "version", "team", "current", "created_by", "created_at")
    list_filter = ("current", "team")
    search_fields = ("name", "description", "body")
    readonly_fields = ("version", "current", "created_by", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: CriteriaSet | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "team") if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: CriteriaSet | None = None) -> bool:
        """Old versions are read-only."""
        return (obj is None or obj.current) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: CriteriaSet | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CriteriaSet, form: CriteriaSetForm, change: bool) -> None:
        assert isinstance(request.user, User)
        answers = form.cleaned_data
        given = {"criteria": answers["body"], "name": answers["name"], "description": answers["description"]}
        saved = (
            criteria.change(CriteriaSet.objects.get(pk=obj.pk), user=request.user, as_operator=True, **given)
            if change
            else criteria.create(user=request.user, team=answers["team"], as_operator=True, **given)
        )
        # The admin continues (log, redirect) with the new version.
        obj.__dict__.update(saved.__dict__)


@admin.register(DefaultCriteria)
class DefaultCriteriaAdmin(ReadOnly, admin.ModelAdmin):
    """Which criteria teams and members start with. They set them on the pages of criteria."""

    list_display = ("team", "user", "criteria_set")
    list_filter = ("team",)
    search_fields = ("team__name", "user__email", "criteria_set__name")
    list_select_related = ("team", "user", "criteria_set")


class PipelineSettingsForm(forms.ModelForm):
    disabled_techniques = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    paused_queues = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(name, name) for name in sorted(MEASURING_QUEUES)],
        help_text=_("No further step is taken from these queues. Running steps are finished."),
    )

    class Meta:
        model = PipelineSettings
        fields = (
            "step_time_limit_minutes",
            "step_memory_limit_bytes",
            "max_attempts",
            "breaker_failures",
            "breaker_window_minutes",
            "breaker_cooldown_minutes",
            "reuse_artifacts",
            "disabled_techniques",
            "paused_queues",
            "artifact_days",
            "log_days",
            "session_days",
            "share_experience",
            "public_links",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["disabled_techniques"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(spec.name, f"{spec.label} ({spec.name})") for spec in catalogue().values()]


@admin.register(SessionFingerprint)
class FingerprintAdmin(ReadOnly, admin.ModelAdmin):
    """The sessions that predictions learn from."""

    list_display = ("session", "parameters", "measured_at")
    list_filter = ("measured_at",)
    search_fields = ("session__id", "session__version__model__name")
    list_select_related = ("session__version__model",)
    date_hierarchy = "measured_at"


@admin.register(Experience)
class ExperienceAdmin(ReadOnly, admin.ModelAdmin):
    """What their candidates showed."""

    list_display = ("key", "fingerprint", "family", "size_ratio", "minutes", "verdict")
    list_filter = ("verdict", "family")
    search_fields = ("fingerprint__session__id", "kinds")
    list_select_related = ("fingerprint",)


@admin.register(PipelineSettings)
class PipelineSettingsAdmin(Audited, admin.ModelAdmin):
    """A single row that always exists. Its values apply from the next step on."""

    audit_action = "settings.changed"
    form = PipelineSettingsForm
    list_display = ("__str__", "step_time_limit_minutes", "memory_limit", "max_attempts", "paused_queues")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PipelineSettings]:
        PipelineSettings.current()
        return super().get_queryset(request)

    @admin.display(description=_("Memory limit"))
    def memory_limit(self, row: PipelineSettings) -> str:
        return f"{row.step_memory_limit_bytes / 2**30:.1f} GiB"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PipelineSettings | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: PipelineSettings, form: forms.ModelForm, change: bool) -> None:
        before = set(form.initial.get("paused_queues") or ())
        super().save_model(request, obj, form, change)
        messages_of_work.announce_again(before - set(obj.paused_queues))


@admin.register(Breaker)
class BreakerAdmin(ReadOnly, admin.ModelAdmin):
    """What has failed in a row, and what is paused because of it. The limits are in the pipeline settings."""

    list_display = ("name", "kind", "count", "opened_at", "closes_at")
    list_filter = ("kind",)
    search_fields = ("name",)
    actions = ("close",)

    @admin.display(description=_("Failures"))
    def count(self, row: Breaker) -> int:
        return len(row.failures)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the operator may end a pause: whoever may change the limits may."""
        return request.user.has_perm("optimization.change_pipelinesettings")

    @admin.action(description=_("End the pause and forget the failures"), permissions=["operate"])
    def close(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        assert isinstance(request.user, User)
        for row in queryset:
            breakers.close(row, request.user)
        self.message_user(request, _("What was selected works as usual again."), messages.SUCCESS)


@admin.register(RetentionPolicy)
class RetentionAdmin(Audited, admin.ModelAdmin):
    """Retention policies of teams. Owners set them on the page Storage."""

    audit_action = "retention.changed"
    audit_deletion = "retention.removed"
    list_display = ("team", "artifact_days", "log_days", "session_days")
    list_select_related = ("team",)
