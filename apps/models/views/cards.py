"""The page on which members write the sections of a model's cards."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.models import cards
from apps.models.errors import CardChangedMeanwhile
from apps.models.forms_card import CardForm
from apps.models.models import RegisteredModel
from apps.models.views.models import visible_model


@require_http_methods(["GET", "POST"])
def edit(request: MemberRequest, pk: int) -> HttpResponse:
    """The sections to change, and, with `preview`, how they look. HTMX requests get only the preview."""
    model = visible_model(request, pk)
    require_role(request.user, model.team, Role.ENGINEER)
    if request.method == "GET":
        return _page(request, model, CardForm.of(cards.card_of(model)))
    form = CardForm(request.POST)
    if "preview" in request.POST:
        return _page(request, model, form)
    return _saved(request, model, form) if form.is_valid() else _page(request, model, form, status=422)


def _saved(request: MemberRequest, model: RegisteredModel, form: CardForm) -> HttpResponse:
    answers = dict(form.cleaned_data)
    try:
        cards.edit_card(model, request.user, expected=answers.pop("revision"), **answers)
    except CardChangedMeanwhile as error:
        theirs = cards.card_of(model)
        form.read_anew(theirs.revision)
        form.add_error(None, error.message)
        return _page(request, model, form, theirs=cards.as_markdown(theirs.texts), status=error.status)
    except UserError as error:
        show_error(form, error)
        return _page(request, model, form, status=error.status)
    messages.success(request, gettext("The card was saved. Packages that were made before keep the earlier texts."))
    return redirect(f"{model.get_absolute_url()}#card")


def _page(
    request: MemberRequest, model: RegisteredModel, form: CardForm, *, theirs: str | None = None, status: int = 200
) -> HttpResponse:
    """The page. `theirs`: what another member has saved since this one read the card."""
    template = "models/_card_preview.html" if request.htmx else "models/card.html"
    context = {"model": model, "form": form, "preview": cards.as_markdown(form.texts), "theirs": theirs}
    return render(request, template, context, status=status)
