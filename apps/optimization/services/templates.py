"""Services for templates: the settings of a session under a name, with which others of the same model start."""

from __future__ import annotations

from django.db import transaction

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.audit import trail
from apps.models.models import ModelVersion, RegisteredModel
from apps.optimization.errors.templates import (
    NoVersionReady,
    TemplateElsewhere,
    TemplateIncomplete,
    TemplateNameMissing,
    TemplateNameTaken,
    TemplateOfComparison,
)
from apps.optimization.models import OptimizationSession, SessionTemplate
from apps.optimization.services.start import session_start
from apps.texts import storable


@transaction.atomic
def template_save(
    session: OptimizationSession, user: User, name: str, *, default: bool = False, replace: bool = False
) -> SessionTemplate:
    """Keeps what `session` was asked as a template of its model, in the place of one of the same name if `replace`.

    With `default`, it becomes the model's default. Raises `PermissionDenied` below engineer, `TemplateOfComparison`,
    `TemplateNameMissing` and `TemplateNameTaken`.
    """
    require_role(user, session.team, Role.ENGINEER)
    if session.compared_id is not None:
        raise TemplateOfComparison()
    model = _locked(session.version.model)
    name = _clean(name)
    row = SessionTemplate.objects.filter(model=model, name=name).first()
    if row is not None and not replace:
        raise TemplateNameTaken(field="name", model=model, name=name)
    action = "template.replaced" if row else "template.saved"
    row = row or SessionTemplate(model=model, name=name)
    _take_over(row, session)
    row.created_by = user
    row.save()
    trail.record(action, actor=user, session=session, subject=f"{model}: {name}", data={"template": row.pk})
    if default:
        _set_default(row, user, True)
    return row


def _take_over(row: SessionTemplate, session: OptimizationSession) -> None:
    row.dataset, row.student, row.taught = session.dataset, session.student, session.student_id is not None
    row.criteria_set, row.criteria_body = session.criteria_set, session.criteria_body
    row.edits_body, row.make_anew = session.edits_body, session.make_anew


@transaction.atomic
def template_change(
    template: SessionTemplate, user: User, *, name: str | None = None, default: bool | None = None
) -> SessionTemplate:
    """Renames a template, and makes it the model's default or no longer that. What is not given stays.

    Raises `PermissionDenied` below engineer, `TemplateNameMissing` and `TemplateNameTaken`.
    """
    model = template.model
    require_role(user, model.team, Role.ENGINEER)
    _locked(model)
    row = SessionTemplate.objects.select_related("model__team").get(pk=template.pk)
    if name is not None:
        before, row.name = {"name": row.name}, _clean(name)
        if SessionTemplate.objects.filter(model=model, name=row.name).exclude(pk=row.pk).exists():
            raise TemplateNameTaken(field="name", model=model, name=row.name)
        row.save(update_fields=["name"])
        trail.record_changes("template.renamed", user, model.team, f"{model}: {row.name}", before, row)
    if default is not None:
        _set_default(row, user, default)
    return row


@transaction.atomic
def template_delete(template: SessionTemplate, user: User) -> None:
    """Removes a template. Sessions that started from it stay. Raises `PermissionDenied` below engineer."""
    require_role(user, template.model.team, Role.ENGINEER)
    subject = f"{template.model}: {template.name}"
    trail.record("template.deleted", actor=user, team=template.model.team, subject=subject)
    template.delete()


@transaction.atomic
def template_start(
    template: SessionTemplate, user: User, version: ModelVersion | None = None, *, start_anyway: bool = False
) -> OptimizationSession:
    """Starts a session with the settings of `template`, on `version` or else on the newest one that is ready.

    Raises `PermissionDenied` below engineer, `TemplateElsewhere`, `NoVersionReady`, `TemplateIncomplete`, and the
    errors of `session_start`.
    """
    require_role(user, template.model.team, Role.ENGINEER)
    if version is not None and version.model_id != template.model_id:
        raise TemplateElsewhere(field="version", version=version, model=template.model)
    version = version or newest_ready(template.model)
    if version is None:
        raise NoVersionReady(model=template.model)
    if template.lacks or template.dataset is None:
        raise TemplateIncomplete(what=template.lacks, name=template.name)
    session = session_start(
        user=user,
        version=version,
        dataset=template.dataset,
        student=template.student,
        criteria_set=template.criteria_set,
        criteria=template.criteria,
        edits=template.edits,
        make_anew=template.make_anew,
        start_anyway=start_anyway,
    )
    reason = f"Started from the template “{template.name}”."
    trail.record("template.used", actor=user, session=session, subject=f"{template.model}: {template}", reason=reason)
    return session


def newest_ready(model: RegisteredModel) -> ModelVersion | None:
    """The newest version of `model` that has passed its checks."""
    ready = model.versions.ready().select_related("model__team", "metadata")
    return ready.order_by("-number").first()


def default_template(model: RegisteredModel | int) -> SessionTemplate | None:
    return SessionTemplate.objects.filter(model=model, is_default=True).first()


def _locked(model: RegisteredModel) -> RegisteredModel:
    """The model, locked, so that names and the default of its templates are decided one after the other."""
    return RegisteredModel.objects.select_for_update().get(pk=model.pk)


def _clean(name: str) -> str:
    clean = str(storable(" ".join(name.split())))
    if not 0 < len(clean) <= SessionTemplate.LONGEST_NAME:
        raise TemplateNameMissing(field="name", longest=SessionTemplate.LONGEST_NAME)
    return clean


def _set_default(row: SessionTemplate, user: User, default: bool) -> None:
    if row.is_default == default:
        return
    others = SessionTemplate.objects.filter(model=row.model, is_default=True)
    before = others.first()
    others.update(is_default=False)
    row.is_default = default
    row.save(update_fields=["is_default"])
    trail.record(
        "template.default_changed",
        actor=user,
        team=row.model.team,
        subject=f"{row.model}: {row.name if default else 'no default'}",
        data={"before": before.name if before else None},
    )
