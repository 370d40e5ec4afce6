"""Texts of allauth whose German says `du`. They are marked here, so that Lathe's own catalogue says `Sie` instead."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

TEXTS = (
    _("Please type your current password."),
    _("Be patient, you are sending too many requests."),
    _("You must type the same password each time."),
    _("Your account has no password set up."),
    _("Your account has no verified email address."),
    _("Thank you for using %(site_name)s!\n%(site_domain)s"),
    _("Your password has been changed."),
    _(
        "You're receiving this email because you or someone else has requested a password reset for your user "
        "account.\n"
        "It can be safely ignored if you did not request a password reset. Click the link below to reset your password."
    ),
    _("Are you sure you want to sign out?"),
    _("You have signed out."),
    _("Forgotten your password? Enter your email address below, and we'll send you an email allowing you to reset it."),
    _("Please contact us if you have any trouble resetting your password."),
    _(
        "We have sent you an email. If you have not received it please check your spam folder. Otherwise contact us if "
        "you do not receive it in a few minutes."
    ),
    _(
        "The password reset link was invalid, possibly because it has already been used.  Please request a "
        '<a href="%(passwd_reset_url)s">new password reset</a>.'
    ),
    _("Your password is now changed."),
    _("You are already logged in as %(user_display)s."),
    _("You are about to generate a new set of recovery codes for your account."),
    _("You are about to deactivate authenticator app based authentication. Are you sure?"),
)
