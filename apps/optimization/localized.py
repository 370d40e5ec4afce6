"""Numbers and lists in the language of the page.

Agents write numbers as English does, `1,234.5`, because their sentences are records. What a page says itself is written
here, with the separators of its language (`lathe.formats`). The functions have the names of those in `phrasing`, and do
the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.formats import get_format
from django.utils.translation import gettext

from apps.agents.contracts import phrasing


def localized(written: str) -> str:
    """A number as an agent writes it, or several, with the separators of the page's language: `1 234.5`."""
    separators = {ord("."): get_format("DECIMAL_SEPARATOR"), ord(","): get_format("THOUSAND_SEPARATOR")}
    return written.translate(separators)


def number(value: float, decimals: int = 8) -> str:
    return localized(phrasing.number(value, decimals))


def column_number(value: float, digits: int = 3) -> str:
    return localized(phrasing.column_number(value, digits))


def difference(value: float, unit: str) -> str:
    return localized(phrasing.difference(value, unit))


def number_of_bytes(count: float) -> str:
    scaled, unit = phrasing.scaled_bytes(count)
    return f"{number(scaled)} {gettext(unit)}"


def with_unit(value: float, unit: str) -> str:
    text = phrasing.difference(value, unit)
    words = gettext("point") if (unit, text) == ("points", "1") else gettext(unit)
    return f"{localized(text)} {words}".strip()


def signed(value: float, unit: str) -> str:
    return f"{_plus(value, unit)}{with_unit(value, unit)}"


def signed_number(value: float, unit: str) -> str:
    """The same without the unit."""
    return f"{_plus(value, unit)}{difference(value, unit)}"


def _plus(value: float, unit: str) -> str:
    return "+" if phrasing.signed(value, unit).startswith("+") else ""


def from_to(low: str, high: str) -> str:
    """An interval of two written numbers: `4.02 to 4.41`."""
    return gettext("{low} to {high}").format(low=low, high=high)


def listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return gettext("{all_but_last} and {last}").format(all_but_last=", ".join(names[:-1]), last=names[-1])
