"""What every page keeps to, asked of the page itself: contrast, names, headings, ids, width. WCAG 2.2, level AA.

A script in the browser sees what is really drawn, with the styles of the theme resolved.
"""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver import Chrome

_WIDER = """
const wide = document.documentElement.scrollWidth - innerWidth;
if (wide <= 0) return [];
const isBeyond = (one) => one.getBoundingClientRect().right > innerWidth + 1;
const beyond = [...document.body.querySelectorAll("*")].filter(isBeyond);
return [`${wide} px too wide: ${beyond.slice(-1).map((one) => one.outerHTML.slice(0, 120))}`];
"""
_TROUBLES = Path(__file__).with_suffix(".js").read_text()


def troubles(browser: Chrome) -> list[str]:
    """What the open page does not keep to, a line for each; empty where all is well."""
    return [*browser.execute_script(_TROUBLES), *too_wide(browser)]


def too_wide(browser: Chrome) -> list[str]:
    """By how much the open page is wider than its window, and its innermost part that is; empty where it fits."""
    return list(browser.execute_script(_WIDER))
