"""Views of a version: its details, its graph, its file."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.accounts.requests import MemberRequest, writes
from apps.agents.contracts.reports.model import MOST_WEIGHTS
from apps.errors import UserError
from apps.models import dependents, netron, services
from apps.models.download import blob_response, download_name
from apps.models.listing import listings
from apps.models.models import ModelMetadata, ModelVersion

PANELS = ("optimization/_version_panel.html", "models/_version_panel.html")
"""The fragment about sessions and analysis on the version's page: optimization's, if that app is installed."""


def visible_version(request: MemberRequest, pk: int, number: int) -> ModelVersion:
    """The version, or 404 if the user may not see it."""
    versions = ModelVersion.objects.visible_to(request.user).select_related(
        "model__team", "blob", "metadata", "parent__model", "created_by"
    )
    return get_object_or_404(versions, model=pk, number=number)


def _context(request: MemberRequest, version: ModelVersion) -> dict[str, object]:
    metadata = getattr(version, "metadata", None)
    return {
        "version": version,
        "model": version.model,
        "metadata": metadata,
        "drawn": netron.draws(version),
        "resting": dependents.count(versions=[version]),
        **(_found(metadata) if metadata else {}),
        "writes": writes(request, version.model.team),
    }


def _found(metadata: ModelMetadata) -> dict[str, object]:
    """The inspection's results, in the order of the page."""
    summary = metadata.summary
    return {
        "summary": summary,
        "operators": sorted(summary.operators.items(), key=lambda pair: (-pair[1], pair[0])),
        "weights_cut": len(summary.weights) == MOST_WEIGHTS,
        "listings": listings(summary.code),
    }


@require_GET
def detail(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    version = visible_version(request, pk, number)
    context = {
        **_context(request, version),
        "aliases": version.aliases.all(),
        "children": version.children.select_related("model"),
        "panels": PANELS,
    }
    return render(request, "models/version_detail.html", context)


@require_GET
def status(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    """The part of the page that changes while the file is checked. It polls itself until the check ends.

    The last answer also swaps in what a checked version offers: its actions and the fragment about sessions.
    """
    context = {**_context(request, visible_version(request, pk, number)), "panels": PANELS, "polled": True}
    return render(request, "models/_version_state.html", context)


@require_POST
def describe(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    version = visible_version(request, pk, number)
    services.describe_version(version, request.user, description=request.POST.get("description", ""))
    messages.success(request, _("Saved."))
    return redirect(version)


@require_POST
def signature(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    """Chooses a signature of the file."""
    version = visible_version(request, pk, number)
    try:
        services.choose_signature(version, request.user, request.POST.get("name", ""))
    except UserError as error:
        messages.error(request, error.message)
    return redirect(version)


@require_POST
def delete(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    version = visible_version(request, pk, number)
    try:
        services.delete_version(version, request.user, with_sessions="with_sessions" in request.POST)
    except UserError as error:
        messages.error(request, error.message)
        return redirect(version)
    messages.success(request, _("{version} was deleted.").format(version=version))
    return redirect(version.model)


@require_safe
def file(request: MemberRequest, pk: int, number: int) -> HttpResponseBase:
    version = visible_version(request, pk, number)
    return blob_response(request, version.blob, download_name(version))


@require_GET
def graph(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    version = visible_version(request, pk, number)
    context = {**_context(request, version), "node": request.GET.get("node", "")}
    return render(request, "models/version_graph.html", context)


@require_GET
@xframe_options_sameorigin
def graph_frame(request: MemberRequest, pk: int, number: int) -> HttpResponse:
    """Netron's page for this version's file, for the frame on the graph page."""
    version = visible_version(request, pk, number)
    response = HttpResponse(netron.page(version, request.GET.get("node", "")))
    response["Content-Security-Policy"] = netron.POLICY
    return response
