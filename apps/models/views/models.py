"""Views of registered models: the list, the upload, one model."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.bulk_pages import bulk_page
from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, current_team, has_role, writes
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.models import cards, dependents, services
from apps.models.aliases import SUGGESTED
from apps.models.bulk import MODEL_ACTS
from apps.models.columns import LIST_OF_MODELS, MODELS
from apps.models.forms import AliasForm, ModelForm, ModelUploadForm
from apps.models.lineage import lineage
from apps.models.models import Alias, AliasMove, AliasRequest, ModelMetadata, RegisteredModel, StoreSettings
from apps.models.storage import upload_limit_bytes
from apps.models.views.approvals import requests_with_rights
from apps.outages import require_queue
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 25
PANELS = ("optimization/_model_panel.html", "models/_version_panel.html")
"""The fragment about measurements on a model's page: optimization's, if that app is installed."""


def visible_model(request: MemberRequest, pk: int) -> RegisteredModel:
    """The model, or 404 if the user may not see it."""
    return get_object_or_404(RegisteredModel.objects.visible_to(request.user).select_related("team", "card"), pk=pk)


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    """The current team's models. HTMX requests get only the results."""
    search, tag = request.GET.get("search", "").strip(), request.GET.get("tag", "").strip()
    models = RegisteredModel.objects.visible_to(request.user).filter(team=request.team or None)
    found = models.search(search)
    if tag:
        found = found.tagged(tag)
    found = in_order(found, LIST_OF_MODELS, request.GET.get(ORDERING, ""))
    metadata = Prefetch("versions__metadata", ModelMetadata.objects.in_short())
    found = found.prefetch_related("versions", metadata, "versions__blob", "aliases__version")
    if wants_csv(request):
        return csv_of_rows(request, "models", MODELS, found)
    page = KeyedPaginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "search": search,
        "tag": tag,
        "tags": models.all_tags(),
        "acts": MODEL_ACTS.values() if page.object_list or search or tag else (),
        "writes": writes(request, request.team),
    }
    template = "models/_model_results.html" if request.htmx else "models/model_list.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    """What would happen to the chosen models; POST does it."""
    current_team(request)
    rows = RegisteredModel.objects.visible_to(request.user).filter(team=request.team or None).select_related("team")
    return bulk_page(request, MODEL_ACTS, rows.order_by("name"), kind="model", back=reverse("models:model-list"))


@require_http_methods(["GET", "POST"])
def upload(request: MemberRequest) -> HttpResponse:
    """A new model, or a new version of one."""
    kwargs: dict[str, Any] = {"user": request.user, "team": current_team(request)}
    if request.method != "POST":
        return _upload_page(request, ModelUploadForm(initial={"model": request.GET.get("model")}, **kwargs))
    form = ModelUploadForm(request.POST, request.FILES, **kwargs)
    if not form.is_valid():
        return _upload_page(request, form, 422)
    try:
        version = _add(request, form)
    except UserError as error:
        show_error(form, error)
        return _upload_page(request, form, error.status)
    messages.success(request, _("{version} was uploaded and is being checked.").format(version=version))
    return redirect(version)


def _add(request: MemberRequest, form: ModelUploadForm) -> Any:
    """The new version. If the file is refused, or cannot be stored, a model created for it is deleted again."""
    answers = form.cleaned_data
    model = answers["model"]
    made = model is None
    if made:
        require_queue()
        model = services.register_model(
            request.team, request.user, answers["name"], answers["description"], form.tag_list
        )
    try:
        return services.add_version(
            model, request.user, description="" if made else answers["description"], **form.source()
        )
    except Exception:
        if made:
            services.delete_model(model, request.user)
        raise


def _upload_page(request: MemberRequest, form: ModelUploadForm, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "upload": form.upload_row,
        "limit_bytes": upload_limit_bytes(),
        "accepts_code": StoreSettings.current().accept_code,
        "may_upload_code": services.may_upload_code(request.membership),
    }
    return render(request, "models/model_upload.html", context, status=status)


@require_GET
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    return detail_page(request, visible_model(request, pk))


def detail_page(
    request: MemberRequest,
    model: RegisteredModel,
    *,
    form: ModelForm | None = None,
    alias_form: AliasForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of one model, possibly with a form that has errors."""
    metadata = Prefetch("metadata", ModelMetadata.objects.in_short())
    versions = list(model.versions.select_related("model", "blob", "parent").prefetch_related(metadata, "aliases"))
    aliases = list(model.aliases.select_related("version__model", "model__team"))
    context = {
        "model": model,
        "versions": versions,
        "aliases": [(alias, services.can_undo(alias), _history(alias)) for alias in aliases],
        "requests": requests_with_rights(request, AliasRequest.objects.pending().filter(alias__model=model)),
        "guarded": any(alias.protected for alias in aliases),
        "owns": has_role(request, model.team, Role.OWNER),
        "lineage": lineage(versions),
        "resting": dependents.count(versions=versions),
        "form": form or ModelForm.of(model),
        "alias_form": alias_form or AliasForm(versions=model.versions.ready().select_related("model")),
        "any_ready": any(version.ready for version in versions),
        "suggested_aliases": SUGGESTED,
        "card": cards.as_markdown(cards.texts_read_with(model)),
        "panels": PANELS,
        "writes": writes(request, model.team),
    }
    return render(request, "models/model_detail.html", context, status=status)


def _history(alias: Alias) -> QuerySet[AliasMove]:
    return alias.moves.select_related("from_version", "to_version", "moved_by")[:10]


@require_POST
def describe(request: MemberRequest, pk: int) -> HttpResponse:
    model = visible_model(request, pk)
    require_role(request.user, model.team, Role.ENGINEER)
    form = ModelForm(request.POST)
    if not form.is_valid():
        return detail_page(request, model, form=form, status=422)
    try:
        services.describe_model(model, request.user, **form.values())
    except UserError as error:
        show_error(form, error)
        return detail_page(request, visible_model(request, pk), form=form, status=error.status)
    messages.success(request, _("Saved."))
    return redirect(model)


@require_POST
def delete(request: MemberRequest, pk: int) -> HttpResponse:
    model = visible_model(request, pk)
    try:
        services.delete_model(model, request.user, with_sessions="with_sessions" in request.POST)
    except UserError as error:
        messages.error(request, error.message)
        return redirect(model)
    messages.success(request, _("“{name}” was deleted.").format(name=model.name))
    return redirect("models:model-list")
