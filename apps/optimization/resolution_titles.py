"""What the buttons of resolutions say, in the page's language.

Agents know nothing of languages: they title a resolution in English, and records keep that title. A page recognizes it
here by its pattern. A title without one stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.kept_sentences import has_form, translation_of
from apps.optimization.localized import listed

TITLES = (
    _("Permit {label}"),
    _("Permit {label} as well"),
    _("Permit {labels} as well (predicted: {ratio} times)"),
    _("Do without {label}"),
    _("Do without {label}, and allow all other techniques"),
    _("Allow {label} as well"),
    _("Do not require {label}"),
    _("Allow all techniques"),
    _("Keep only the limit of {limit}"),
    _("Make the objective {objective}"),
    _("Reset the weights"),
    _("Remove the limit “{limit}”"),
    _("Remove the limit on {metric}"),
    _("Remove the limit on the output {output}"),
    _("Remove the limit on the loss of each group"),
    _("Remove the limit on the loss of each class"),
    _("Remove the limit on the size"),
    _("Remove the limit on the speed"),
    _("Remove the limit on the memory"),
    _("Allow {number} candidates"),
    _("Allow {number} minutes"),
    # xgettext:no-python-format
    _("Allow {number} % of the original's value"),
    _("Allow a loss of up to {limit}"),
    _("Accept a result that is within the limits but not proven"),
    _("Use the team's default, {criteria}"),
    _("Limit the deviation of the other outputs"),
    _("Limit the loss of {metric} of {output} to {limit}"),
    _("Make the target the CPU"),
    _("Make the target a GPU (CUDA)"),
    _("Do not demand that it is faster"),
    _("Do not demand that it is smaller"),
    _("Count the file as it is"),
    _("Demand {ratio} times smaller"),
    _("Demand {ratio}× as fast"),
)
AMOUNTS = (
    # xgettext:no-python-format
    _("{number} % of the original's value"),
    _("at least {ratio} times smaller"),
    _("at least {ratio}× as fast"),
    _("at most {size}"),
)
"""What a title says of a limit, besides a number with a unit."""


def in_language(title: str) -> str:
    """A resolution's title in the page's language."""
    return translation_of(title, TITLES, _say) or title


def is_known(title: str) -> bool:
    return has_form(title, TITLES)


def _say(name: str, value: str) -> str:
    return _SAID.get(name, str)(value)


def _amount(limit: str) -> str:
    """`1 point`, `0.5 °C`, or one of `AMOUNTS`."""
    if translated := translation_of(limit, AMOUNTS, _say):
        return translated
    number, space, unit = limit.partition(" ")
    return f"{number}{space}{gettext(unit) if unit else ''}"


def _list(labels: str) -> str:
    """`A, B and C`."""
    before, _and, last = labels.rpartition(" and ")
    return listed([before, last] if before else [last])


_SAID: dict[str, Callable[[str], str]] = {
    "limit": _amount,
    "metric": gettext,
    "objective": gettext,
    "labels": _list,
}
"""How values are worded. Others are names and numbers, which stay as they are."""
