"""A portal without a mouse: Tab from stop to stop, Enter, the space bar, arrows. Its user sees where they are."""

from __future__ import annotations

from typing import Any

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import PAGE_CHANGING

MOST_STOPS = 80
_FOCUS = """
const on = document.activeElement;
if (!on || on === document.body || on === document.documentElement) return null;
const box = on.getBoundingClientRect(), style = getComputedStyle(on);
return {
  wanted: on.matches(arguments[0]),
  marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
  seen: box.width && box.height && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  told: on.outerHTML.slice(0, 120),
};
"""


def press(browser: Chrome, *keys: str) -> None:
    """One key after the other. In a field that Tab has reached the first letter replaces all, as that is selected."""
    ActionChains(browser).send_keys(*keys).perform()


def focus(browser: Chrome, selector: str = "*") -> dict[str, Any] | None:
    """What has the focus, and whether it is `wanted`, `marked` as that and `seen`; `None` if nothing has it."""
    found: dict[str, Any] | None = browser.execute_script(_FOCUS, selector)
    return found


def tab_to(browser: Chrome, selector: str, *, back: bool = False, most: int = MOST_STOPS) -> None:
    """Tab, or Shift and Tab, until what fits `selector` has the focus. Fails if a stop on the way is not to be seen."""
    stops: list[str] = []
    for _ in range(most):
        keys = ActionChains(browser)
        (keys.key_down(Keys.SHIFT) if back else keys).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        stop = focus(browser, selector)
        if stop is None:  # between the page's end and its begin is the browser's own stop
            stops.append("(no focus)")
            continue
        assert stop["marked"], f"no outline around {stop['told']}"
        assert stop["seen"], f"out of sight: {stop['told']}"
        if stop["wanted"]:
            return
        stops.append(stop["told"])
    raise AssertionError(f"Tab does not reach {selector} at {browser.current_url}:\n" + "\n".join(stops))


def tab_into_content(browser: Chrome) -> None:
    """Past the menu of a page that was just opened."""
    press(browser, Keys.TAB, Keys.ENTER)
    assert has_focus(browser, "#content")


def has_focus(browser: Chrome, selector: str) -> bool:
    stop = focus(browser, selector)
    return stop is not None and stop["wanted"]


def wait_for_focus(browser: Chrome, selector: str, seconds: float = 30) -> None:
    """Waits until what fits `selector` has the focus, marked and in sight."""
    patience = WebDriverWait(browser, seconds, ignored_exceptions=PAGE_CHANGING)

    def there(driver: Chrome) -> bool:
        stop = focus(driver, selector)
        return bool(stop and stop["wanted"] and stop["marked"] and stop["seen"])

    patience.until(there, f"{selector} has no focus at {browser.current_url}")


def choose(browser: Chrome, label: str) -> None:
    """Arrows in the list of choices that has the focus, to the one that says `label`."""
    choices = Select(browser.switch_to.active_element)
    press(browser, Keys.HOME)
    for _ in choices.options:
        if Select(browser.switch_to.active_element).first_selected_option.text == label:
            return
        press(browser, Keys.ARROW_DOWN)
    raise AssertionError(f"no choice says “{label}”: {[one.text for one in choices.options]}")
