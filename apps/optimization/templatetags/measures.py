"""Numbers as people read them, each with its unit. An unknown value is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()

UNKNOWN = "–"
_SIZES = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_BADGES = {
    "queued": "muted",
    "running": "info",
    "completed": "ok",
    "failed": "bad",
    "cancelled": "muted",
    "improved": "ok",
    "unchanged": "warn",
    "planned": "muted",
    "rejected": "bad",
    "accepted": "ok",
    "selected": "accent",
    "skipped": "muted",
    "holds": "ok",
    "violated": "bad",
    "inconclusive": "warn",
    "pending": "info",
    "ready": "ok",
    "refused": "bad",
}


def significant(value: float, digits: int = 3) -> str:
    """`value` with about `digits` significant digits and no exponent in the everyday range."""
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{max(digits - whole, 0) if whole else digits}f}"


@register.filter
def number(value: float | None, digits: int = 3) -> str:
    return UNKNOWN if value in (None, "") else significant(float(value), int(digits))


@register.filter
def ratio(value: float | None) -> str:
    """`4.21×`: original over candidate."""
    return UNKNOWN if value in (None, "") else f"{significant(float(value))}×"


@register.filter
def ms(value: float | None) -> str:
    return UNKNOWN if value in (None, "") else f"{significant(float(value))} ms"


@register.filter
def size(value: float | None) -> str:
    """Bytes in decimal units, as disks and papers count them: `11.2 MB`."""
    if value in (None, ""):
        return UNKNOWN
    for unit, name in _SIZES:
        if abs(value) >= unit:
            return f"{significant(value / unit)} {name}"
    return f"{value:.0f} bytes"


@register.filter
def count(value: float | None) -> str:
    """`2.78 M`, `12.4 k`: parameters, multiply-accumulates."""
    if value in (None, ""):
        return UNKNOWN
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= unit:
            return f"{significant(value / unit)} {name}"
    return f"{value:.0f}"


@register.filter
def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds in (None, ""):
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if left else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


@register.filter
def percent(share: float | None) -> str:
    """A share between 0 and 1 as `42 %`."""
    return UNKNOWN if share in (None, "") else f"{share * 100:.0f} %"


@register.filter
def interval(estimate: Any, between: str = " to ") -> str:
    """The interval of an `Estimate` (value or mapping): `4.02 to 4.41`; empty where the number is exact."""
    low, high = _part(estimate, "low"), _part(estimate, "high")
    return "" if low is None or high is None else f"{signed(low)}{between}{signed(high)}"


def signed(value: float) -> str:
    """With a real minus sign, which a hyphen is not."""
    return significant(value).replace("-", "−", 1) if value < 0 else significant(value)


@register.filter
def change(drop: float | None) -> str:
    """What a drop of the metric means: `0.23 lost`, `0.23 gained`, `unchanged`."""
    if drop is None:
        return UNKNOWN
    if not drop:
        return "unchanged"
    return f"{size_of(drop)} {'lost' if drop > 0 else 'gained'}"


@register.filter
def size_of(value: float | None) -> str:
    """Without its sign, in two significant digits."""
    return UNKNOWN if value is None else significant(abs(value), 2)


def _part(estimate: Any, name: str) -> float | None:
    return estimate.get(name) if isinstance(estimate, Mapping) else getattr(estimate, name, None)


@register.filter
def tone(status: str) -> str:
    """The badge's tone of a status: `ok`, `warn`, `bad`, `info`, `accent` or `muted`."""
    return _BADGES.get(str(status), "muted")


@register.filter
def words(code: str) -> str:
    """`max_metric_drop_points` → `max metric drop points`."""
    return str(code).replace("_", " ").replace("-", " ")


@register.filter
def lookup(mapping: Mapping[str, Any], key: str) -> Any:
    return mapping.get(key)
