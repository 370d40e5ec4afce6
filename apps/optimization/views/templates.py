"""Views of templates: save a session's settings, start from them, change them."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, writes
from apps.accounts.services import require_role
from apps.agents.contracts.plan_edits import edits_in_words
from apps.errors import UserError
from apps.models.models import ModelVersion
from apps.optimization import services
from apps.optimization.errors.templates import TemplateOfComparison
from apps.optimization.forms.templates import NewTemplateForm, TemplateForm
from apps.optimization.models import SessionTemplate
from apps.optimization.views.sessions import number_in, visible_session


def visible_template(request: MemberRequest, pk: int) -> SessionTemplate:
    """The template, or 404 for users outside its team."""
    rows = SessionTemplate.objects.visible_to(request.user)
    return get_object_or_404(rows.select_related("model__team", "dataset", "student__model", "criteria_set"), pk=pk)


@require_http_methods(["GET", "POST"])
def save(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The name under which a session's settings become a template of its model."""
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    if session.compared_id is not None:
        raise TemplateOfComparison()
    form = NewTemplateForm(request.POST if request.method == "POST" else None)
    status = 422 if form.is_bound else 200
    if form.is_valid():
        try:
            return redirect(services.template_save(session, request.user, **form.cleaned_data))
        except UserError as error:
            show_error(form, error)
            status = error.status
    context = {"session": session, "form": form, "edited": edits_in_words(session.edits)}
    return render(request, "optimization/template_new.html", context, status=status)


@require_GET
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    template = visible_template(request, pk)
    return _page(request, template, TemplateForm(initial={"name": template.name, "default": template.is_default}))


def _page(request: MemberRequest, template: SessionTemplate, form: TemplateForm, status: int = 200) -> HttpResponse:
    context = {
        "template": template,
        "form": form,
        "version": services.newest_ready(template.model),
        "edited": edits_in_words(template.edits),
        "writes": writes(request, template.model.team),
    }
    return render(request, "optimization/template_detail.html", context, status=status)


@require_POST
def change(request: MemberRequest, pk: int) -> HttpResponse:
    template = visible_template(request, pk)
    require_role(request.user, template.model.team, Role.ENGINEER)
    form = TemplateForm(request.POST)
    if not form.is_valid():
        return _page(request, template, form, 422)
    try:
        services.template_change(template, request.user, **form.cleaned_data)
    except UserError as error:
        show_error(form, error)
        return _page(request, template, form, error.status)
    messages.success(request, gettext("Saved."))
    return redirect(template)


@require_POST
def delete(request: MemberRequest, pk: int) -> HttpResponse:
    template = visible_template(request, pk)
    services.template_delete(template, request.user)
    messages.success(request, gettext("The template “%(name)s” was deleted.") % {"name": template.name})
    return redirect(template.model)


@require_POST
def start(request: MemberRequest, pk: int) -> HttpResponse:
    """Starts a session at once. If that is refused, the page of a new session is filled in, with the reason."""
    template = visible_template(request, pk)
    version = _named_version(request)
    try:
        return redirect(services.template_start(template, request.user, version))
    except UserError as error:
        messages.error(request, error.message)
        chosen = f"&version={version.pk}" if version else ""
        return redirect(f"{reverse('optimization:session-new')}?template={template.pk}{chosen}")


def _named_version(request: MemberRequest) -> ModelVersion | None:
    """The version that the button names; `None` if it names none."""
    if not request.POST.get("version"):
        return None
    rows = ModelVersion.objects.visible_to(request.user).select_related("model__team", "metadata")
    return get_object_or_404(rows, pk=number_in(request.POST, "version"))
