"""Errors about channels and deliveries."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class AddressInvalid(UserError):
    code = "channel.address_invalid"
    sentence = _("This address cannot be used: {reason}. Write an address such as https://hooks.example.org/lathe.")


class AddressNotPublic(UserError):
    code = "channel.address_not_public"
    sentence = _(
        "{host} is not on the public internet. Lathe only connects there if an operator lists the network in "
        "LATHE_WEBHOOK_NETWORKS."
    )


class ServiceUnknown(UserError):
    code = "channel.service_unknown"
    sentence = _("Lathe cannot send to this address: {reason}. It can send to {services}.")


class TooManyChannels(UserError):
    code = "channel.too_many"
    status = 409
    sentence = _("There are already {most} channels here. Remove one first.")


class ChannelFixed(UserError):
    code = "channel.fixed"
    status = 409
    sentence = _("Your bell and e-mail cannot be removed. Switch off the kinds that you do not want there.")


class QuietHoursIncomplete(UserError):
    code = "channel.quiet_hours_incomplete"
    sentence = _("Quiet hours need a beginning and an end. Give both, or neither.")


class KindUnknown(UserError):
    code = "channel.kind_unknown"
    sentence = _("This channel cannot carry “{kind}”. It can carry {kinds}.")


class DigestUnsupported(UserError):
    code = "channel.digest_unsupported"
    sentence = _("A {medium} cannot have a digest: each of its messages stands for itself. Choose “none”.")


class NoSecret(UserError):
    code = "channel.no_secret"
    status = 409
    sentence = _("Only webhooks have a secret. This channel is of another kind.")


class NothingToTest(UserError):
    code = "channel.nothing_to_test"
    status = 409
    sentence = _("The bell needs no test. Test an e-mail, webhook or chat channel.")


class DeliveryWaiting(UserError):
    code = "delivery.waiting"
    status = 409
    sentence = _("This message is still waiting to be sent. Wait for its result first.")


class UnsubscribeUnusable(UserError):
    code = "unsubscribe.unusable"
    status = 404
    sentence = _("This link does not belong to any channel. Log in and change your notification settings instead.")
