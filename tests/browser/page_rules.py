"""What every page keeps to, asked of the page itself: contrast, names, headings, ids, width. WCAG 2.2, level AA.

A script in the browser sees what is really drawn, with the styles of the theme resolved.
"""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver import Chrome

_TROUBLES = Path(__file__).with_suffix(".js").read_text()


def troubles(browser: Chrome) -> list[str]:
    """What the open page does not keep to, a line for each; empty where all is well."""
    return list(browser.execute_script(_TROUBLES))
