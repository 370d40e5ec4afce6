"""What a member can do with what a page shows: a session, a version, a model, a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import Resolver404, resolve, reverse
from django.utils.translation import gettext

from apps.accounts.requests import MemberRequest, writes
from apps.guide.actions.action import Action
from apps.guide.actions.of_session import of_session
from apps.models.models import DataSet, ModelVersion, RegisteredModel
from apps.optimization.models import OptimizationSession

NEW = "optimization:session-new"


def of_page(request: MemberRequest, path: str) -> Iterator[Action]:
    """What can be done with the row that the page at `path` is about; nothing for other pages."""
    try:
        match = resolve(path)
    except Resolver404:
        return
    for prefix, actions in ABOUT.items():
        if match.view_name.startswith(prefix) and "pk" in match.kwargs:
            yield from actions(request, match.view_name, match.kwargs)
            return


def _of_session(request: MemberRequest, view: str, named: dict[str, Any]) -> Iterator[Action]:
    rows = OptimizationSession.objects.visible_to(request.user).select_related("team", "version__model")
    session = rows.filter(pk=named["pk"]).first()
    if session is not None:
        yield from of_session(session, view, may_write=writes(request, session.team))


def _of_version(request: MemberRequest, view: str, named: dict[str, Any]) -> Iterator[Action]:
    rows = ModelVersion.objects.visible_to(request.user).select_related("model__team")
    version = rows.filter(model=named["pk"], number=named["number"]).first()
    if version is None:
        return
    if version.ready and writes(request, version.model.team):
        start = f"{reverse(NEW)}?version={version.pk}"
        yield Action(gettext("Optimize this version"), gettext("A new session with it"), start)
    file = reverse("models:version-file", args=[version.model_id, version.number])
    yield Action(gettext("Download this version"), gettext("The model's file"), file)


def _of_model(request: MemberRequest, view: str, named: dict[str, Any]) -> Iterator[Action]:
    model = RegisteredModel.objects.visible_to(request.user).select_related("team").filter(pk=named["pk"]).first()
    if model is not None and writes(request, model.team):
        upload = f"{reverse('models:model-upload')}?model={model.pk}"
        yield Action(gettext("Add a version"), gettext("Another file of this model"), upload)


def _of_dataset(request: MemberRequest, view: str, named: dict[str, Any]) -> Iterator[Action]:
    dataset = DataSet.objects.visible_to(request.user).select_related("team").filter(pk=named["pk"]).first()
    if dataset is not None and dataset.ready and writes(request, dataset.team):
        start = f"{reverse(NEW)}?dataset={dataset.pk}"
        yield Action(gettext("Use this data set"), gettext("A new session on it"), start)


ABOUT: dict[str, Callable[[MemberRequest, str, dict[str, Any]], Iterator[Action]]] = {
    "optimization:session-": _of_session,
    "optimization:report": _of_session,
    "models:version-": _of_version,
    "models:model-": _of_model,
    "models:dataset-": _of_dataset,
}
"""By the beginning of a view's name."""
