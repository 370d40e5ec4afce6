"""Views that move an alias, and move it back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.models import services
from apps.models.forms import AliasForm
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
        alias = services.move_alias(model, answers["alias"], answers["version"], request.user, answers["reason"])
    except UserError as error:
        show_error(form, error)
        return detail_page(request, model, alias_form=form, status=error.status)
    messages.success(request, f"“{alias}” now points at v{alias.version.number}.")
    return redirect(model)


@require_POST
def undo(request: MemberRequest, pk: int, name: str) -> HttpResponse:
    model = visible_model(request, pk)
    alias = get_object_or_404(model.aliases.select_related("model__team"), name=name)
    try:
        alias = services.undo_alias_move(alias, request.user)
    except UserError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"“{alias}” points at v{alias.version.number} again.")
    return redirect(model)
