"""Views that move an alias, move it back, and protect it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.models import approvals, services
from apps.models.forms import AliasForm
from apps.models.models import Alias, AliasRequest
from apps.models.views.models import detail_page, visible_model


@require_POST
def move(request: MemberRequest, pk: int) -> HttpResponse:
    model = visible_model(request, pk)
    require_role(request.user, model.team, Role.ENGINEER)
    form = AliasForm(request.POST, versions=model.versions.select_related("model"))
    if not form.is_valid():
        return detail_page(request, model, alias_form=form, status=422)
    answers = form.cleaned_data
    try:
        done = services.move_or_ask(model, answers["alias"], answers["version"], request.user, answers["reason"])
    except UserError as error:
        show_error(form, error)
        return detail_page(request, model, alias_form=form, status=error.status)
    tell_move(request, done)
    return redirect(model)


def tell_move(request: MemberRequest, done: Alias | AliasRequest) -> None:
    """Says in a message that the alias was moved, or that the move waits for approval."""
    if isinstance(done, AliasRequest):
        messages.info(
            request, _("“{alias}” is protected. Another member has to approve that it moves.").format(alias=done.alias)
        )
    else:
        messages.success(
            request, _("“{alias}” now points at v{number}.").format(alias=done, number=done.version.number)
        )


@require_POST
def undo(request: MemberRequest, pk: int, name: str) -> HttpResponse:
    model = visible_model(request, pk)
    alias = get_object_or_404(model.aliases.select_related("model__team"), name=name)
    try:
        done = services.undo_or_ask(alias, request.user, request.POST.get("reason", ""))
    except UserError as error:
        messages.error(request, error.message)
    else:
        tell_move(request, done)
    return redirect(model)


@require_POST
def protect(request: MemberRequest, pk: int, name: str) -> HttpResponse:
    model = visible_model(request, pk)
    alias = get_object_or_404(model.aliases.select_related("model__team"), name=name)
    alias = approvals.protect(alias, request.user, protected="protected" in request.POST)
    guarded = _("A move of “{alias}” needs the approval of a second member.")
    free = _("A move of “{alias}” no longer needs approval.")
    messages.success(request, (guarded if alias.protected else free).format(alias=alias))
    return redirect(model)
