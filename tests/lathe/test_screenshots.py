"""What counts as a difference between two pictures of a page."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.screenshots.comparing import difference, kept, marked

SIZE = (400, 600)


def picture(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE, ground: int = 250) -> bytes:
    drawn = Image.new("RGB", size, (ground,) * 3)
    pen = ImageDraw.Draw(drawn)
    for box in boxes:
        pen.rectangle(box, fill=(20, 60, 120))
    file = BytesIO()
    drawn.save(file, "PNG")
    return kept(file.getvalue())


BUTTON = (40, 40, 160, 80)


def test_the_same_page_is_the_same_and_compression_is_no_difference():
    assert difference(picture(BUTTON), picture(BUTTON)).share == 0
    assert difference(picture(BUTTON), picture(BUTTON, ground=247)).tolerable


@pytest.mark.parametrize("changed", [(), (BUTTON, (40, 300, 160, 340)), ((40, 60, 160, 100),)])
def test_a_control_that_is_gone_new_or_elsewhere_is_a_difference(changed):
    found = difference(picture(BUTTON), picture(*changed))
    assert not found.tolerable
    assert "% of it changed" in found.reason


def test_a_page_of_another_length_or_width_is_a_difference():
    longer = difference(picture(BUTTON), picture(BUTTON, size=(400, 700)))
    assert (longer.share, longer.reason) == (1.0, "200 × 300 became 200 × 350")
    assert not difference(picture(BUTTON), picture(BUTTON, size=(390, 600))).tolerable
    assert difference(picture(BUTTON), picture(BUTTON, size=(400, 604))).tolerable, "rounding"


def test_what_changed_is_red_beside_what_was_accepted():
    both = np.asarray(marked(picture(BUTTON), picture()))
    assert both.shape == (300, 400, 3)
    red = both[30, 250].astype(int)
    assert red[0] > red[1] + 60
    assert abs(both[250, 250].astype(int) - both[250, 50].astype(int)).max() < 8
