"""Views of one's own API tokens."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import services
from apps.accounts.forms import TokenForm
from apps.accounts.models import ApiToken
from apps.accounts.requests import MemberRequest


@require_GET
def tokens(request: MemberRequest) -> HttpResponse:
    return _tokens_page(request, _token_form(request))


def _token_form(request: MemberRequest) -> TokenForm:
    """By default, a token is for the team that one works in."""
    return TokenForm(user=request.user, initial={"team": request.team.slug if request.team else None})


def _tokens_page(request: MemberRequest, form: TokenForm, text: str | None = None, status: int = 200) -> HttpResponse:
    mine = ApiToken.objects.filter(user=request.user).select_related("team")
    context = {"tokens": mine, "form": form, "text": text}
    return render(request, "accounts/tokens.html", context, status=status)


@never_cache
@require_POST
def create_token(request: MemberRequest) -> HttpResponse:
    form = TokenForm(request.POST, user=request.user)
    if not form.is_valid():
        return _tokens_page(request, form, status=422)
    _token, text = services.create_token(request.user, **form.arguments())
    return _tokens_page(request, _token_form(request), text, status=201)


@require_POST
def revoke_token(request: MemberRequest, key: str) -> HttpResponse:
    token = get_object_or_404(ApiToken, user=request.user, token_key=key)
    services.revoke_token(token, by=request.user)
    messages.success(request, _("The token “{name}” was revoked.").format(name=token.name))
    return redirect("accounts:tokens")
