"""SVG as templates draw it, on paper.

A length is in pixels or in percent of the picture around it. A nested picture with a view box is stretched over its
area, and its lines keep their width, as `vector-effect: non-scaling-stroke` has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus.flowables import Flowable

from apps.printing.fonts import SANS, spelled_out
from apps.printing.sheet import ACCENT, INK, LINE, LINE_STRONG, PIXEL, SOFT, TONES, color
from apps.printing.tree import Element

LABEL_PX = 11.5
"""The size of type in a picture, in pixels."""
SCALE_WIDTH = 32.0
"""Of the labels left of a picture, in points."""
HEIGHTS_PX = {"front": 288, "trend": 192}
HEIGHT_PX = 208
_COMMAND = re.compile(r"([MLHVZ])([^MLHVZ]*)")
_NUMBER = re.compile(r"-?[0-9.]+(?:e-?[0-9]+)?")


@dataclass(frozen=True)
class Look:
    color: str = INK
    fill: str | None = None
    width: float = 0.6
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


_OK, _BAD, _INFO = TONES["ok"].ink, TONES["bad"].ink, TONES["info"].ink
LOOKS = {
    "curves-grid": Look(LINE),
    "curve": Look(SOFT, width=1.2),
    "curve-1": Look(ACCENT, width=1.2),
    "curve-2": Look(_INFO, width=1.2, dash=(4, 2.5)),
    "curve-3": Look(_OK, width=1.2, dash=(1.5, 2.5)),
    "curve-original": Look(INK, width=1.2, dash=(3.5, 2)),
    "curve-candidate": Look(ACCENT, width=1.2),
    "front-limit": Look(_BAD, dash=(2, 3)),
    "front-line": Look(ACCENT, width=1.2),
    "front-interval": Look(LINE_STRONG),
    "bars-one": Look(LINE_STRONG, dash=(1, 2)),
    "bars-zero": Look(LINE_STRONG),
    "bars-interval": Look(ACCENT, ACCENT),
    "bars-point": Look(INK, INK),
    "bars-share": Look(ACCENT, ACCENT),
    "bars-sqnr": Look(_INFO, _INFO),
    "bars-lost": Look(_BAD, _BAD),
    "bars-won": Look(_OK, _OK),
    "channels-left": Look(ACCENT, ACCENT),
    "channels-whole": Look(LINE, LINE),
}
"""What a class draws with."""
POINTS = {
    "front-point": _INFO,
    "front-original": INK,
    "front-accepted": _OK,
    "front-rejected": _BAD,
    "front-selected": ACCENT,
}
"""The colour of a point in the front, by its class; a later one wins."""


def stroke_of(classes: frozenset[str]) -> Look:
    """The look of a line or an area. Raises `ValueError` if no class of it is known."""
    found = [look for name, look in LOOKS.items() if name in classes]
    if not found:
        raise ValueError(f"Nothing says how to draw the classes {sorted(classes)}")
    return found[-1]


@dataclass(frozen=True)
class Area:
    """Where a picture lies on the canvas, in points, `top` counted upwards; and what one of its units measures."""

    left: float
    top: float
    width: float
    height: float
    unit_x: float = PIXEL
    unit_y: float = PIXEL

    def x(self, value: str) -> float:
        return self.left + self.across(value)

    def y(self, value: str) -> float:
        return self.top - self.down(value)

    def across(self, value: str) -> float:
        return _length(value, self.width, self.unit_x)

    def down(self, value: str) -> float:
        return _length(value, self.height, self.unit_y)


def _length(value: str, whole: float, unit: float) -> float:
    """In points. `em` is that of a label."""
    if value.endswith("%"):
        return float(value[:-1]) / 100 * whole
    if value.endswith("em"):
        return float(value[:-2]) * LABEL_PX * PIXEL
    return float(value or 0) * unit


class Pen:
    """Draws the elements of a picture on a canvas."""

    def __init__(self, canvas: Any) -> None:
        self.canvas = canvas

    def draw(self, picture: Element, area: Area, point: Look | None = None) -> None:
        """Everything within a picture. `point` is the look of the point that it is part of, if it is."""
        for child in picture.elements:
            if child.tag in ("title", "desc"):
                continue
            drawn = getattr(self, f"_{child.tag}", None)
            if drawn is None:
                raise ValueError(f"<{child.tag}> is not drawn on paper")
            drawn(child, area, point)

    def _svg(self, child: Element, area: Area, point: Look | None) -> None:
        get = child.attributes.get
        across, down = area.across(get("width", "100%")), area.down(get("height", "100%"))
        inner = Area(area.x(get("x", "0")), area.y(get("y", "0")), across, down)
        if "viewbox" in child.attributes:
            _, _, wide, high = (float(one) for one in child.attributes["viewbox"].split())
            inner = replace(inner, unit_x=across / wide, unit_y=down / high)
        self.draw(child, inner, point)

    def _g(self, child: Element, area: Area, point: Look | None) -> None:
        ink = [code for name, code in POINTS.items() if name in child.classes]
        if ink:
            point = Look(ink[-1], ink[-1], 1.5, opacity=0.6 if "front-beaten" in child.classes else 1.0)
        self.draw(child, area, point)

    _a = _g

    def _look(self, child: Element, point: Look | None) -> Look:
        """Takes up the pen. A shape without a class of its own is the point's."""
        if "front-ring" in child.classes:
            look = replace(point or Look(), fill=None)
        elif point is not None and not child.classes:
            look = point
        else:
            look = stroke_of(child.classes or frozenset(("channels-whole",)))
        self.canvas.setStrokeColor(color(look.color))
        self.canvas.setStrokeAlpha(look.opacity)
        self.canvas.setFillAlpha(look.opacity)
        if look.fill:
            self.canvas.setFillColor(color(look.fill))
        self.canvas.setLineWidth(look.width)
        self.canvas.setDash(*(list(look.dash), 0) if look.dash else ())
        return look

    def _line(self, child: Element, area: Area, point: Look | None) -> None:
        self._look(child, point)
        get = child.attributes.get
        ends = area.x(get("x1", "0")), area.y(get("y1", "0")), area.x(get("x2", "0")), area.y(get("y2", "0"))
        self.canvas.line(*ends)

    def _rect(self, child: Element, area: Area, point: Look | None) -> None:
        self._look(child, point)
        get = child.attributes.get
        width, height = area.across(get("width", "0")), area.down(get("height", "0"))
        self.canvas.rect(area.x(get("x", "0")), area.y(get("y", "0")) - height, width, height, stroke=0, fill=1)

    def _circle(self, child: Element, area: Area, point: Look | None) -> None:
        look = self._look(child, point)
        get = child.attributes.get
        radius = float(get("r", "0")) * PIXEL
        filled = int(look.fill is not None)
        self.canvas.circle(area.x(get("cx", "0")), area.y(get("cy", "0")), radius, stroke=1 - filled, fill=filled)

    def _path(self, child: Element, area: Area, point: Look | None) -> None:
        look = self._look(child, point)
        path, x, y = self.canvas.beginPath(), "0", "0"
        for command, rest in _COMMAND.findall(child.attributes["d"]):
            numbers = _NUMBER.findall(rest)
            if command == "Z":
                path.close()
            elif command in "HV":
                x, y = (numbers[0], y) if command == "H" else (x, numbers[0])
                path.lineTo(area.x(x), area.y(y))
            for index in range(0, len(numbers) - 1, 2) if command in "ML" else ():
                x, y = numbers[index : index + 2]
                (path.moveTo if command == "M" and index == 0 else path.lineTo)(area.x(x), area.y(y))
        closed = "Z" in child.attributes["d"] and look.fill is not None
        self.canvas.drawPath(path, stroke=1, fill=int(closed))

    def _text(self, child: Element, area: Area, point: Look | None) -> None:
        get = child.attributes.get
        size, text = LABEL_PX * PIXEL, spelled_out(child.text)
        left = area.x(get("x", "0")) + area.across(get("dx", "0"))
        back = {"middle": 0.5, "end": 1.0}.get(get("text-anchor", "start"), 0.0) * stringWidth(text, SANS, size)
        self.canvas.setFillAlpha(1.0)
        self.canvas.setFillColor(color(INK if point else SOFT))
        self.canvas.setFont(SANS, size)
        self.canvas.drawString(left - back, area.y(get("y", "0")) - area.down(get("dy", "0")), text)


class Picture(Flowable):
    """One picture over the whole width; or, with `scale`, one with its labels on the left."""

    def __init__(self, picture: Element, height: float, scale: Element | None = None) -> None:
        super().__init__()
        self.picture, self.scale, self.height = picture, scale, height

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        self.width = available_width
        return self.width, self.height

    def draw(self) -> None:
        pen, left = Pen(self.canv), 0.0
        if self.scale is not None:
            left = SCALE_WIDTH
            pen.draw(self.scale, Area(0, self.height, left, self.height))
        pen.draw(self.picture, Area(left, self.height, self.width - left, self.height))


def plot(box: Element, height: float) -> Picture:
    """The picture of a `div.curves-picture`: the labels of the vertical axis, and what they belong to."""
    scale, picture = box.elements
    return Picture(picture, height * PIXEL, scale)
