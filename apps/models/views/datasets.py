"""Views of data sets: the list, the upload, one data set."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from apps.accounts.bulk_pages import bulk_page
from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, current_team, writes
from apps.accounts.services import require_role
from apps.agents.contracts.dataset_spec import METRICS, DatasetSpec, part_sizes
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.models import dependents, services
from apps.models.bulk import DATASET_ACTS
from apps.models.columns import DATASETS, LIST_OF_DATASETS
from apps.models.dataset_forms import KIND_LABELS, TASK_LABELS, DataSetForm, DataSetUploadForm
from apps.models.download import blob_response
from apps.models.models import DataSet
from apps.models.storage import upload_limit_bytes
from apps.models.views.models import PAGE_SIZE
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv


def visible_dataset(request: MemberRequest, pk: int) -> DataSet:
    """The data set, or 404 if the user may not see it."""
    datasets = DataSet.objects.visible_to(request.user).select_related("team", "blob", "created_by")
    return get_object_or_404(datasets, pk=pk)


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    """The current team's data sets. HTMX requests get only the results."""
    search = request.GET.get("search", "").strip()
    datasets = DataSet.objects.visible_to(request.user).filter(team=request.team or None)
    found = datasets.search(search).select_related("blob", "created_by")
    found = in_order(found, LIST_OF_DATASETS, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "data-sets", DATASETS, found)
    page = KeyedPaginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "search": search,
        "acts": DATASET_ACTS.values() if page.object_list or search else (),
        "writes": writes(request, request.team),
    }
    template = "models/_dataset_results.html" if request.htmx else "models/dataset_list.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    """What would happen to the chosen data sets; POST does it."""
    current_team(request)
    rows = DataSet.objects.visible_to(request.user).filter(team=request.team or None).select_related("team", "blob")
    return bulk_page(request, DATASET_ACTS, rows.order_by("name"), kind="data set", back=reverse("models:dataset-list"))


@require_http_methods(["GET", "POST"])
def upload(request: MemberRequest) -> HttpResponse:
    team = current_team(request)
    if request.method != "POST":
        return _upload_page(request, DataSetUploadForm(user=request.user))
    form = DataSetUploadForm(request.POST, request.FILES, user=request.user)
    if not form.is_valid():
        return _upload_page(request, form, 422)
    answers = form.cleaned_data
    try:
        dataset = services.add_dataset(
            team,
            request.user,
            answers["name"],
            form.spec(),
            description=answers["description"],
            **form.source(),
        )
    except UserError as error:
        show_error(form, error, "spec", "images", "text")
        return _upload_page(request, form, error.status)
    messages.success(request, _("“{dataset}” was uploaded and is being checked.").format(dataset=dataset))
    return redirect(dataset)


def _upload_page(request: MemberRequest, form: DataSetUploadForm, status: int = 200) -> HttpResponse:
    context = {"form": form, "upload": form.upload_row, "limit_bytes": upload_limit_bytes()}
    return render(request, "models/dataset_upload.html", context, status=status)


@require_GET
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    return _detail_page(request, visible_dataset(request, pk))


def _context(request: MemberRequest, dataset: DataSet) -> dict[str, object]:
    spec = DatasetSpec.model_validate(dataset.spec)
    summary = dataset.described if dataset.summary else None
    parts = part_sizes(summary.examples if summary else 0, spec.training_share)
    return {
        "dataset": dataset,
        "resting": dependents.count(datasets=[dataset]),
        "spec": spec,
        "kind_label": KIND_LABELS[spec.kind],
        "task_label": TASK_LABELS[spec.task],
        "metric": METRICS[spec.primary_metric],
        "summary": summary,
        "parts": parts,
        "writes": writes(request, dataset.team),
    }


def _detail_page(
    request: MemberRequest, dataset: DataSet, *, form: DataSetForm | None = None, status: int = 200
) -> HttpResponse:
    form = form or DataSetForm(initial={"name": dataset.name, "description": dataset.description})
    context = {**_context(request, dataset), "form": form}
    return render(request, "models/dataset_detail.html", context, status=status)


@require_GET
def status(request: MemberRequest, pk: int) -> HttpResponse:
    """The part of the page that changes while the file is checked. It polls itself until the check ends.

    The last answer also swaps in the actions that a checked data set offers.
    """
    context = {**_context(request, visible_dataset(request, pk)), "polled": True}
    return render(request, "models/_dataset_state.html", context)


@require_POST
def describe(request: MemberRequest, pk: int) -> HttpResponse:
    dataset = visible_dataset(request, pk)
    require_role(request.user, dataset.team, Role.ENGINEER)
    form = DataSetForm(request.POST)
    if not form.is_valid():
        return _detail_page(request, dataset, form=form, status=422)
    try:
        services.describe_dataset(dataset, request.user, **form.cleaned_data)
    except UserError as error:
        show_error(form, error)
        return _detail_page(request, visible_dataset(request, pk), form=form, status=error.status)
    messages.success(request, _("Saved."))
    return redirect(dataset)


@require_POST
def delete(request: MemberRequest, pk: int) -> HttpResponse:
    dataset = visible_dataset(request, pk)
    try:
        services.delete_dataset(dataset, request.user, with_sessions="with_sessions" in request.POST)
    except UserError as error:
        messages.error(request, error.message)
        return redirect(dataset)
    messages.success(request, _("“{name}” was deleted.").format(name=dataset.name))
    return redirect("models:dataset-list")


@require_safe
def file(request: MemberRequest, pk: int) -> HttpResponseBase:
    dataset = visible_dataset(request, pk)
    return blob_response(request, dataset.blob, dataset.filename)
