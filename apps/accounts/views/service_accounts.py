"""Views of the team's service accounts and their tokens."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import service_accounts, services
from apps.accounts.bulk import SERVICE_ACCOUNT_ACTS
from apps.accounts.bulk_pages import bulk_page
from apps.accounts.columns import LIST_OF_SERVICE_ACCOUNTS, SERVICE_ACCOUNTS
from apps.accounts.errors import NoTeam
from apps.accounts.forms import ServiceAccountChangeForm, ServiceAccountForm, ServiceTokenForm, show_error
from apps.accounts.models import Membership, Role
from apps.accounts.querysets import MembershipQuerySet
from apps.accounts.requests import MemberRequest
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 50


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    if wants_csv(request):
        return csv_of_rows(request, "service-accounts", SERVICE_ACCOUNTS, _found(request))
    return _list_page(request, ServiceAccountForm())


def _of_team(request: MemberRequest) -> MembershipQuerySet[Membership]:
    rows = Membership.objects.filter(team=request.team or None, user__service_of__isnull=False)
    return rows.select_related("user", "team")


def _found(request: MemberRequest) -> QuerySet[Membership]:
    """Those that the address asks for, in its order."""
    rows = _of_team(request).search(request.GET.get("search", ""))
    return in_order(rows, LIST_OF_SERVICE_ACCOUNTS, request.GET.get(ORDERING, ""))


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    """What would happen to the chosen accounts; POST does it."""
    if not request.team:
        raise NoTeam()
    services.require_role(request.user, request.team, Role.OWNER)
    rows = _of_team(request).order_by("user__first_name")
    back = reverse("accounts:service-accounts")
    return bulk_page(request, SERVICE_ACCOUNT_ACTS, rows, kind="service account", back=back)


def _list_page(request: MemberRequest, form: ServiceAccountForm, status: int = 200) -> HttpResponse:
    current = request.membership
    context = {
        "page": KeyedPaginator(_found(request), PAGE_SIZE).get_page(request.GET.get("page")),
        "search": request.GET.get("search", "").strip(),
        "acts": SERVICE_ACCOUNT_ACTS.values(),
        "owns": bool(current) and current.may(Role.OWNER),
        "form": form,
    }
    return render(request, "accounts/service_accounts.html", context, status=status)


@require_POST
def create(request: MemberRequest) -> HttpResponse:
    if not request.team:
        raise NoTeam()
    services.require_role(request.user, request.team, Role.OWNER)
    form = ServiceAccountForm(request.POST)
    if not form.is_valid():
        return _list_page(request, form, 422)
    answers = form.cleaned_data
    try:
        account = service_accounts.create(
            by=request.user, team=request.team, name=answers["name"], role=Role(answers["role"])
        )
    except UserError as error:
        show_error(form, error)
        return _list_page(request, form, error.status)
    return redirect("accounts:service-account", account.pk)


def _account(request: MemberRequest, pk: int) -> Membership:
    """A service account of one of the member's teams. Raises 404."""
    rows = Membership.objects.visible_to(request.user).select_related("user", "team")
    return get_object_or_404(rows, pk=pk, user__service_of__isnull=False)


@require_GET
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    return _page(request, _account(request, pk), ServiceTokenForm())


def _page(
    request: MemberRequest, account: Membership, form: ServiceTokenForm, text: str | None = None, status: int = 200
) -> HttpResponse:
    owns = services.may(request.user, account.team, Role.OWNER)
    context = {
        "account": account,
        "owns": owns,
        "tokens": service_accounts.tokens_of(account) if owns else (),
        "roles": [(role.value, role.label) for role in service_accounts.ROLES],
        "form": form,
        "text": text,
    }
    return render(request, "accounts/service_account.html", context, status=status)


@require_POST
def change(request: MemberRequest, pk: int) -> HttpResponse:
    account = _account(request, pk)
    services.require_role(request.user, account.team, Role.OWNER)
    form = ServiceAccountChangeForm(request.POST)
    if form.is_valid():
        service_accounts.change(account, by=request.user, **form.arguments())
    else:
        messages.error(request, " ".join(str(one) for errors in form.errors.values() for one in errors))
    return redirect("accounts:service-account", pk)


@never_cache
@require_POST
def create_token(request: MemberRequest, pk: int) -> HttpResponse:
    account = _account(request, pk)
    services.require_role(request.user, account.team, Role.OWNER)
    form = ServiceTokenForm(request.POST)
    if not form.is_valid():
        return _page(request, account, form, status=422)
    try:
        _token, text = service_accounts.create_token(account, by=request.user, **form.arguments())
    except UserError as error:
        show_error(form, error)
        return _page(request, account, form, status=error.status)
    return _page(request, account, ServiceTokenForm(), text, status=201)


@require_POST
def revoke_token(request: MemberRequest, pk: int, key: str) -> HttpResponse:
    account = _account(request, pk)
    services.require_role(request.user, account.team, Role.OWNER)
    token = get_object_or_404(service_accounts.tokens_of(account), token_key=key)
    services.revoke_token(token, by=request.user)
    messages.success(request, _("The token “{name}” was revoked.").format(name=token.name))
    return redirect("accounts:service-account", pk)
