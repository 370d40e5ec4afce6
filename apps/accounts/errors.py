"""Errors about people, teams and keys."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class TeamNameTaken(UserError):
    code = "team.name_taken"
    status = 409
    sentence = _("There is already a team called “{name}”. Choose another name.")


class AlreadyMember(UserError):
    code = "team.already_member"
    status = 409
    sentence = _("{email} is already a member of {team}. Change their role in the list of members instead.")


class LastOwner(UserError):
    code = "team.last_owner"
    status = 409
    sentence = _("This is the last owner of {team}. Make someone else an owner first.")


class InvitationUnusable(UserError):
    code = "invitation.unusable"
    status = 404
    sentence = _("This invitation has been used or withdrawn, or has expired. Ask an owner of the team for a new one.")


class InvitationNotSent(UserError):
    code = "invitation.not_sent"
    status = 503
    sentence = _(
        "The email to {email} could not be sent, so the invitation was not created. Try again later, or tell the "
        "operators."
    )


class InvitationForSomebodyElse(UserError):
    code = "invitation.somebody_else"
    status = 403
    sentence = _(
        "This invitation is for {invited}, but you are logged in as {user}. Log out first and open the link again."
    )


class AddressNotVerified(UserError):
    code = "login.address_not_verified"
    status = 403
    sentence = _(
        "{provider} does not say that your address is verified, so nobody was logged in. Have it verified there, or "
        "log in with your password."
    )


class NotInvited(UserError):
    code = "login.not_invited"
    status = 403
    sentence = _(
        "{provider} knows you as {email}, and no account here has that address. Ask an owner of your team to invite "
        "{email}, then log in again."
    )


class SingleSignOnFailed(UserError):
    code = "login.provider_failed"
    status = 502
    sentence = _(
        "{provider} did not confirm who you are, so nobody was logged in. Try again. If it fails again, log in with "
        "your password and tell the operators: the log says what {provider} answered."
    )


class TokenLifetimeOutOfRange(UserError):
    code = "token.lifetime_out_of_range"
    sentence = _("A token cannot be valid for {days} days. Choose between 1 and {maximum} days.")


class TokenOutlivesItsMaker(UserError):
    code = "token.outlives_its_maker"
    sentence = _(
        "A token that is made with another one cannot outlive it: “{name}” expires on {until}, before {days} days are "
        "over. Choose fewer days, or create the token on the page."
    )


class ServiceAccountNameMissing(UserError):
    code = "account.service_name_missing"
    sentence = _("The service account needs a name of at most {longest} characters. Enter one.")


class ServiceAccountNameTaken(UserError):
    code = "account.service_name_taken"
    status = 409
    sentence = _(
        "{team} already has a service account called “{name}”, or one that differs too little. Choose another name."
    )


class ServiceAccountRole(UserError):
    code = "account.service_role"
    sentence = _("A service account cannot be {role}. Choose viewer or engineer.")


class ServiceAccountDisabled(UserError):
    code = "account.service_disabled"
    status = 409
    sentence = _("“{name}” is disabled, so a token of it would open nothing. Enable it first.")


class ListUnknown(UserError):
    code = "list.unknown"
    status = 404
    sentence = _("There is no list “{name}” with filters and columns. Choose one of: {choices}.")


class ColumnUnknown(UserError):
    code = "list.column_unknown"
    sentence = _("This list has no column “{name}”. Choose from: {choices}.")


class FilterEmpty(UserError):
    code = "filter.empty"
    sentence = _("This filter narrows nothing. Set a filter in the list first, then save it.")


class FilterNameTaken(UserError):
    code = "filter.name_taken"
    status = 409
    sentence = _("You have already saved a filter “{name}” for this list. Delete that one, or choose another name.")


class FilterOfAnother(UserError):
    code = "filter.of_another"
    status = 403
    sentence = _("Somebody else shares this filter. Only they and the owners of the team can delete it.")


class NoTeam(UserError):
    code = "team.none"
    status = 403
    sentence = _("You are not a member of any team. Ask an owner for an invitation.")


class TeamAmbiguous(UserError):
    code = "team.ambiguous"
    sentence = _("You are a member of several teams. Choose one in “team”: {slugs}.")


class TeamUnknown(UserError):
    code = "team.unknown"
    sentence = _("You are not a member of a team with the slug “{slug}”. Your teams: {slugs}.")


class TimeZoneUnknown(UserError):
    code = "account.time_zone_unknown"
    sentence = _("There is no time zone “{zone}”. Write a name such as Europe/Berlin, or UTC.")


class LanguageUnknown(UserError):
    code = "account.language_unknown"
    sentence = _("There are no pages in the language “{language}”. Choose one of: {choices}.")


class IdempotencyKeyInvalid(UserError):
    code = "idempotency.key_invalid"
    status = 400
    sentence = _("The header Idempotency-Key is not one printable text of at most {longest} characters. Send a UUID.")


class IdempotencyKeyReused(UserError):
    code = "idempotency.key_reused"
    sentence = _("You have used this Idempotency-Key for another request. Choose a new key for each request.")


class SecretNotKept(UserError):
    code = "idempotency.secret_not_kept"
    status = 409
    sentence = _(
        "The request with this Idempotency-Key was carried out, but its answer held a secret, which is not kept. "
        "Revoke or rotate the secret, then ask for a new one with a new key."
    )


class RequestInProgress(UserError):
    code = "idempotency.in_progress"
    status = 409
    sentence = _("The request with this Idempotency-Key is still being carried out. Repeat it in a moment.")
