"""What every page keeps to, asked of the page itself. WCAG 2.2, level AA, by axe; the rest by our own rules.

Scripts in the browser see what is really drawn, with the styles of the theme resolved.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from selenium.webdriver import Chrome

_WIDER = """
const wide = document.documentElement.scrollWidth - innerWidth;
if (wide <= 0) return [];
const isBeyond = (one) => one.getBoundingClientRect().right > innerWidth + 1;
const beyond = [...document.body.querySelectorAll("*")].filter(isBeyond);
return [`${wide} px too wide: ${beyond.slice(-1).map((one) => one.outerHTML.slice(0, 120))}`];
"""
OF_COLOURS = "cat.color"
"""The only rules of axe on which a theme has a bearing: it changes colours and nothing else."""
_OURS = Path(__file__).with_suffix(".js").read_text()
_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_RUN_AXE = """
const [only, answer] = arguments;
const unasked = { "color-contrast-enhanced": { enabled: false } }; // As by default: it is of level AAA.
const part = (one) => `${one.html.slice(0, 120)} ${one.failureSummary}`;
const told = (rule) => `${rule.id}: ${rule.nodes.slice(0, 3).map(part).join("; ")}`;
axe.run(document, { resultTypes: ["violations"], iframes: false, ...(only ? { runOnly: [only], rules: unasked } : {}) })
  .then((found) => answer(found.violations.map(told)), (error) => answer([`axe: ${error}`]));
"""


def troubles(browser: Chrome, category: str = "") -> list[str]:
    """What the open page does not keep to, a line for each; empty where all is well. Of axe, all or one category."""
    return [*violations(browser, category), *troubles_of_width(browser)]


def violations(browser: Chrome, category: str = "") -> list[str]:
    """The rules of axe that the open page breaks, those of good practice too; of all categories, or of one. No frame in
    it is looked into.
    """
    if not browser.execute_script("return Boolean(window.axe)"):
        browser.execute_script(_AXE)
    return list(browser.execute_async_script(_RUN_AXE, category))


def troubles_of_width(browser: Chrome) -> list[str]:
    """What axe does not look at, and what another width may change."""
    return [*browser.execute_script(_OURS), *too_wide(browser)]


def too_wide(browser: Chrome) -> list[str]:
    """By how much the open page is wider than its window, and its innermost part that is; empty where it fits."""
    return list(browser.execute_script(_WIDER))
