"""Items that cannot stand side by side."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class ComparedItemUnknown(UserError):
    code = "compare.item_unknown"
    status = 404
    sentence = _(
        "{item!r} names nothing to compare that there is, or that you may see. Items are `session:ID`, "
        "`candidate:SESSION:KEY` and `version:ID`. Choose from the list of sessions, from a report or from a model's "
        "versions."
    )


class TooFewCompared(UserError):
    code = "compare.too_few"
    sentence = _(
        "A comparison needs at least {fewest} different items, and this one has {count}. Choose {fewest} to {most}."
    )


class TooManyCompared(UserError):
    code = "compare.too_many"
    sentence = _("At most {most} items fit side by side, and {count} are chosen. Leave some out.")


class ComparedKindsDiffer(UserError):
    code = "compare.kinds_differ"
    sentence = _(
        "Versions cannot stand beside sessions or candidates. Choose versions only, or sessions and candidates only. "
        "To compare a candidate with a version, promote it first."
    )


class ComparedTeamsDiffer(UserError):
    code = "compare.teams_differ"
    sentence = _(
        "These items belong to different teams ({teams}), so the link would not open for everyone. Choose items of one "
        "team."
    )
