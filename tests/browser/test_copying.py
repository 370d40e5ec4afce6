"""*Copy*, where browsers allow it and where they do not."""

from __future__ import annotations

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.conftest import Portal
from tests.browser.test_palette import until

BUTTON = """
document.getElementById("content").insertAdjacentHTML("afterbegin",
  '<code id="token-text">a token</code> <button id="copies" data-action="copy" data-target="token-text">Copy</button>');
const clipboard = arguments[0] === "none" ? undefined : {writeText: async (text) => {
  if (arguments[0] === "refuses") throw new Error("not allowed");
  window.copied = text;
}};
Object.defineProperty(navigator, "clipboard", {value: clipboard, configurable: true});
"""
SELECTED = "Selected: press Ctrl C"
LABEL = "document.getElementById('copies').textContent"


@pytest.mark.parametrize(
    ("clipboard", "said"),
    [("works", "Copied"), ("none", "Selected: press Ctrl C"), ("refuses", "Selected: press Ctrl C")],
)
def test_a_text_is_copied_or_selected(logged_in: Chrome, portal: Portal, clipboard: str, said: str) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/workers/")
    browser.execute_script(BUTTON, clipboard)
    browser.find_element(By.ID, "copies").click()
    until(browser, f"{LABEL} === '{said}'")
    got = "return window.copied" if clipboard == "works" else "return getSelection().toString()"
    assert browser.execute_script(got) == "a token"
    until(browser, f"{LABEL} === 'Copy'")
