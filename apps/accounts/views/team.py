"""Views of the team: members, their roles, and who is invited."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import services
from apps.accounts.columns import LIST_OF_MEMBERS, MEMBERS
from apps.accounts.errors import NoTeam
from apps.accounts.forms import InvitationForm, RoleForm, show_error
from apps.accounts.middleware import SESSION_KEY
from apps.accounts.models import Invitation, Membership, Role, Team
from apps.accounts.requests import MemberRequest
from apps.accounts.service_accounts import service_accounts_of
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 50


@require_GET
def team(request: MemberRequest) -> HttpResponseBase:
    if wants_csv(request):
        return csv_of_rows(request, "members", MEMBERS, _found(request))
    return _team_page(request, InvitationForm())


def _found(request: MemberRequest) -> QuerySet[Membership]:
    """The members that the address asks for, in its order."""
    rows = Membership.objects.filter(team=request.team or None).people().search(request.GET.get("search", ""))
    if (role := request.GET.get("role")) in Role.values:
        rows = rows.filter(role=role)
    return in_order(rows, LIST_OF_MEMBERS, request.GET.get(ORDERING, ""))


def _team_page(request: MemberRequest, form: InvitationForm, status: int = 200) -> HttpResponse:
    current = request.membership
    return render(
        request,
        "accounts/team.html",
        {
            "page": KeyedPaginator(_found(request), PAGE_SIZE).get_page(request.GET.get("page")),
            "chosen": {name: request.GET.get(name, "").strip() for name in ("search", "role")},
            "service_accounts": service_accounts_of(current.team).count() if current else 0,
            "invitations": Invitation.objects.open().filter(team=current.team) if current else (),
            "owns": bool(current) and current.may(Role.OWNER),
            "form": form,
            "roles": Role.choices,
        },
        status=status,
    )


@require_POST
def switch_team(request: MemberRequest) -> HttpResponse:
    chosen = get_object_or_404(Team.objects.visible_to(request.user), slug=request.POST.get("team"))
    request.session[SESSION_KEY] = chosen.pk
    return redirect("optimization:dashboard")


@require_POST
def invite(request: MemberRequest) -> HttpResponse:
    if not request.team:
        raise NoTeam()
    services.require_role(request.user, request.team, Role.OWNER)
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _team_page(request, form, 422)
    try:
        invitation = services.invite(by=request.user, team=request.team, **form.cleaned_data)
    except UserError as error:
        show_error(form, error)
        return _team_page(request, form, error.status)
    messages.success(request, _("The invitation was sent to {email}.").format(email=invitation.email))
    return redirect("accounts:team")


@require_POST
def withdraw_invitation(request: MemberRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation.objects.visible_to(request.user), pk=pk)
    services.withdraw_invitation(invitation, by=request.user)
    messages.success(request, _("The invitation for {email} was withdrawn.").format(email=invitation.email))
    return redirect("accounts:team")


def _visible_membership(request: MemberRequest, pk: int) -> Membership:
    return get_object_or_404(Membership.objects.visible_to(request.user).people(), pk=pk)


@require_POST
def change_role(request: MemberRequest, pk: int) -> HttpResponse:
    member = _visible_membership(request, pk)
    services.require_role(request.user, member.team, Role.OWNER)
    form = RoleForm(request.POST)
    if form.is_valid():
        try:
            services.change_role(by=request.user, member=member, role=Role(form.cleaned_data["role"]))
        except UserError as error:
            messages.error(request, error.message)
    else:
        messages.error(request, " ".join(map(str, form.errors["role"])))
    return redirect("accounts:team")


@require_POST
def permit_code(request: MemberRequest, pk: int) -> HttpResponse:
    member = _visible_membership(request, pk)
    services.permit_code(by=request.user, member=member, allowed="may_upload_code" in request.POST)
    may, may_not = _("{user} can now upload models with code."), _("{user} can no longer upload models with code.")
    messages.success(request, (may if member.may_upload_code else may_not).format(user=member.user))
    return redirect("accounts:team")


@require_POST
def remove_member(request: MemberRequest, pk: int) -> HttpResponse:
    member = _visible_membership(request, pk)
    try:
        services.remove_member(by=request.user, member=member)
    except UserError as error:
        messages.error(request, error.message)
    else:
        messages.success(
            request, _("{user} is no longer a member of {team}.").format(user=member.user, team=member.team)
        )
    return redirect("accounts:team")
