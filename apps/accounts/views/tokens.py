"""Views of one's own API tokens."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.bulk import TOKEN_ACTS
from apps.accounts.bulk_pages import bulk_page
from apps.accounts.columns import LIST_OF_TOKENS, TOKENS
from apps.accounts.forms import TokenForm
from apps.accounts.models import ApiToken
from apps.accounts.requests import MemberRequest
from apps.listings import ORDERING, in_order
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv
from apps.texts import storable

PAGE_SIZE = 25


@require_GET
def tokens(request: MemberRequest) -> HttpResponseBase:
    if wants_csv(request):
        return csv_of_rows(request, "tokens", TOKENS, _found(request))
    return _tokens_page(request, _token_form(request))


def _mine(request: MemberRequest) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(user=request.user).select_related("team", "user")


def _found(request: MemberRequest) -> QuerySet[ApiToken]:
    """Those that the address asks for, in its order."""
    rows = _mine(request)
    for word in storable(request.GET.get("search", "")).split():
        rows = rows.filter(Q(name__icontains=word) | Q(token_key__startswith=word))
    return in_order(rows, LIST_OF_TOKENS, request.GET.get(ORDERING, ""))


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    """What would happen to the chosen tokens; POST does it."""
    back = reverse("accounts:tokens")
    return bulk_page(request, TOKEN_ACTS, _mine(request).order_by("name"), kind="token", back=back, field="token_key")


def _token_form(request: MemberRequest) -> TokenForm:
    """By default, a token is for the team that one works in."""
    return TokenForm(user=request.user, initial={"team": request.team.slug if request.team else None})


def _tokens_page(request: MemberRequest, form: TokenForm, text: str | None = None, status: int = 200) -> HttpResponse:
    context = {
        "page": KeyedPaginator(_found(request), PAGE_SIZE).get_page(request.GET.get("page")),
        "search": request.GET.get("search", "").strip(),
        "acts": TOKEN_ACTS.values(),
        "form": form,
        "text": text,
    }
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
