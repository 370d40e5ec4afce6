"""Team, invitations, tokens."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.errors import InvitationUnusable, NoTeam
from apps.accounts.forms import InvitationForm, InvitedAccountForm, RoleForm, TimeZoneForm, TokenForm, show_error
from apps.accounts.middleware import SESSION_KEY
from apps.accounts.models import ApiToken, Invitation, Membership, Role, Team, User
from apps.accounts.requests import MemberRequest
from apps.accounts.service_accounts import service_accounts_of
from apps.errors import UserError
from apps.zones import zone_of, zones


@require_GET
def team(request: MemberRequest) -> HttpResponse:
    return _team_page(request, InvitationForm())


def _team_page(request: MemberRequest, form: InvitationForm, status: int = 200) -> HttpResponse:
    current = request.membership
    return render(
        request,
        "accounts/team.html",
        {
            "members": current.team.memberships.people() if current else (),
            "service_accounts": service_accounts_of(current.team).count() if current else 0,
            "invitations": Invitation.objects.open().filter(team=current.team) if current else (),
            "owns": bool(current) and current.may(Role.OWNER),
            "form": form,
            "roles": Role.choices,
        },
        status=status,
    )


@require_http_methods(["GET", "POST"])
def time_zone(request: MemberRequest) -> HttpResponse:
    """The zone in which the member sees times."""
    form = TimeZoneForm(request.POST or None, initial={"time_zone": zone_of(request.user).key})
    if request.method == "POST" and form.is_valid():
        try:
            services.choose_time_zone(request.user, form.cleaned_data["time_zone"])
        except UserError as error:
            show_error(form, error)
        else:
            messages.success(request, f"Times are shown in {request.user.time_zone}.")
            return redirect("accounts:time-zone")
    context = {"form": form, "time_zones": zones()}
    return render(request, "accounts/time_zone.html", context, status=422 if form.errors else 200)


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
    messages.success(request, f"The invitation was sent to {invitation.email}.")
    return redirect("accounts:team")


@require_POST
def withdraw_invitation(request: MemberRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation.objects.visible_to(request.user), pk=pk)
    services.withdraw_invitation(invitation, by=request.user)
    messages.success(request, f"The invitation for {invitation.email} was withdrawn.")
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
    may = "can now" if member.may_upload_code else "can no longer"
    messages.success(request, f"{member.user} {may} upload models with code.")
    return redirect("accounts:team")


@require_POST
def remove_member(request: MemberRequest, pk: int) -> HttpResponse:
    member = _visible_membership(request, pk)
    try:
        services.remove_member(by=request.user, member=member)
    except UserError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{member.user} is no longer a member of {member.team}.")
    return redirect("accounts:team")


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def accept_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind an invitation's link: existing users join with one click, and new users create an account."""
    try:
        invitation = services.invitation_by_token(token)
    except InvitationUnusable as error:
        return render(request, "accounts/invitation_unusable.html", {"error": error}, status=error.status)
    if request.user.is_authenticated:
        return _join(cast(MemberRequest, request), token, invitation)
    if User.objects.filter(email=invitation.email).exists():
        return redirect_to_login(request.get_full_path())
    return _register(request, token, invitation)


def _join(request: MemberRequest, token: str, invitation: Invitation) -> HttpResponse:
    context = {"invitation": invitation}
    if request.method == "POST":
        try:
            member = services.accept_invitation(token, request.user)
        except UserError as error:
            return render(request, "accounts/invitation_join.html", {**context, "error": error}, status=error.status)
        request.session[SESSION_KEY] = member.team_id
        return redirect("optimization:dashboard")
    return render(request, "accounts/invitation_join.html", context)


def _register(request: HttpRequest, token: str, invitation: Invitation) -> HttpResponse:
    form = InvitedAccountForm(request.POST or None)
    if form.is_valid():
        answers = {name: form.cleaned_data[name] for name in ("password", "first_name", "last_name")}
        user = services.register_by_invitation(token, **answers)
        login(request, user, backend="apps.accounts.authentication.PasswordBackend")
        return redirect("optimization:dashboard")
    status = 422 if form.is_bound else 200
    return render(request, "accounts/invitation_register.html", {"invitation": invitation, "form": form}, status=status)


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
    _token, text = services.create_token(request.user, **form.answers())
    return _tokens_page(request, _token_form(request), text, status=201)


@require_POST
def revoke_token(request: MemberRequest, key: str) -> HttpResponse:
    token = get_object_or_404(ApiToken, user=request.user, token_key=key)
    services.revoke_token(token, by=request.user)
    messages.success(request, f"The token “{token.name}” was revoked.")
    return redirect("accounts:tokens")


def address_is_fixed(request: HttpRequest) -> HttpResponse:
    """Replaces allauth's page, which lets a user without a verified address take any address. The audit trail and
    invitations identify people by their address.
    """
    raise PermissionDenied("Only an operator can change an e-mail address, in the admin.")
