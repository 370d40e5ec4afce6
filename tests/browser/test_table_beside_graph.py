"""The table of layers beside the graph: rows lead to nodes and nodes to rows; one click plans again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.chromium import set_theme, set_width
from tests.browser.conftest import PAGE_CHANGING, Portal, click, wait, wait_for_text
from tests.browser.keyboard import press, tab_into_content, tab_to, wait_for_focus
from tests.browser.page_rules import troubles

NODE = "#node-name-{}"


@pytest.fixture(autouse=True)
def layers(logged_in: Chrome, portal: Portal, won_session: str) -> Iterator[None]:
    """Opens the page of the small session: the layers `first` and `second` with `relu` between them."""
    logged_in.get(f"{portal.url}{won_session}layers/")
    wait_for_node(logged_in, NODE.format("second"))
    yield
    logged_in.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def wait_for_node(browser: Chrome, selector: str) -> None:
    """Waits until the graph has what fits `selector`."""
    browser.switch_to.frame(wait(browser, "#layers-graph"))
    try:
        patience = WebDriverWait(browser, 60, ignored_exceptions=PAGE_CHANGING)
        patience.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector), f"no {selector} in the graph")
    finally:
        browser.switch_to.default_content()


def marked(browser: Chrome) -> list[str | None]:
    return [row.get_attribute("data-layer") for row in browser.find_elements(By.CSS_SELECTOR, "tr[aria-current]")]


def test_a_row_shows_its_node_and_a_node_its_row(logged_in: Chrome) -> None:
    browser = logged_in
    click(browser, "tr[data-layer=second] td")
    wait_for_node(browser, NODE.format("second") + ".select")
    assert marked(browser) == ["second"]
    wait_for_text(browser, "#layers-said", "second")
    browser.switch_to.frame(wait(browser, "#layers-graph"))
    browser.find_element(By.CSS_SELECTOR, NODE.format("first")).click()
    browser.switch_to.default_content()
    wait_for_text(browser, "#layers-said", "first")
    assert marked(browser) == ["first"]
    click(browser, "#layers-keep-one")
    stays_in_float(browser, "first")


def stays_in_float(browser: Chrome, layer: str) -> None:
    """The form of a new session is open, and its plan leaves the layer as it is."""
    wait(browser, "#session-question")
    wait(browser, f"#plan-layers input[value={layer}]:checked")
    assert f"keep={layer}" in browser.current_url


def test_the_same_by_keyboard(logged_in: Chrome) -> None:
    browser = logged_in
    tab_into_content(browser)
    tab_to(browser, "tr[data-layer=second] [data-show]")
    press(browser, Keys.ENTER)
    wait_for_node(browser, NODE.format("second") + ".select")
    assert marked(browser) == ["second"]
    tab_to(browser, "#layers-row")
    press(browser, Keys.ENTER)
    wait_for_focus(browser, "tr[data-layer=second] [data-show]")
    tab_to(browser, "#layers-keep-one")
    press(browser, Keys.SPACE)
    stays_in_float(browser, "second")


def test_a_layer_without_a_node_of_its_name_says_so(logged_in: Chrome) -> None:
    """As where a file names its nodes otherwise than the analysis names the layers."""
    logged_in.execute_script("document.querySelector('tr[data-layer=second]').dataset.layer = 'elsewhere'")
    click(logged_in, "tr[data-layer=elsewhere] td")
    wait_for_text(logged_in, "#layers-said", "no node called “elsewhere”", 60)


@pytest.mark.parametrize("width", [390, 1440, 2560])
def test_it_is_readable_with_a_chosen_row(logged_in: Chrome, width: int) -> None:
    """Side by side where there is room; one below the other on a phone, where the graph comes into sight."""
    browser = logged_in
    set_width(browser, width)
    click(browser, "tr[data-layer=second] [data-show]")
    wait_for_text(browser, "#layers-said", "second")
    table, graph = (browser.find_element(By.ID, one).rect for one in ("layers", "layers-beside"))
    assert (graph["x"] > table["x"] + table["width"] - 1) == (width > 390)
    for tone in ("light", "dark"):
        set_theme(browser, tone)
        assert troubles(browser) == [], f"{width} px, {tone}"
    said = browser.find_element(By.ID, "layers-said").rect
    top = browser.execute_script("return scrollY")
    assert top <= said["y"] <= top + 1000
