"""The palette and the shortcuts, as a keyboard uses them."""

from __future__ import annotations

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import PAGE_CHANGING, Portal
from tests.browser.keyboard import press
from tests.browser.page_rules import troubles


def until(browser: Chrome, condition: str) -> None:
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(f"return Boolean({condition})"))


def open_palette(browser: Chrome) -> None:
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
    until(browser, "document.querySelector('#palette[open] [role=option][aria-selected=true]')")


def test_a_model_is_opened_by_keyboard_alone(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/workers/")
    open_palette(browser)
    assert troubles(browser) == []
    press(browser, "fashion resnet")
    until(browser, "document.querySelector('[role=option][aria-selected=true][href^=\"/models/\"]')")
    aim = browser.execute_script("return document.querySelector('[aria-selected=true]').pathname")
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    until(browser, f"location.pathname === '{aim}'")


def test_enter_waits_for_what_the_typed_words_find(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/workers/")
    open_palette(browser)
    press(browser, "fashion resnet", Keys.ENTER)
    until(browser, "location.pathname !== '/workers/'")
    assert browser.execute_script("return location.pathname").startswith("/models/")


def test_a_page_is_opened_by_mouse_alone(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/workers/")
    browser.find_element(By.CSS_SELECTOR, "[data-action=palette]").click()
    until(browser, "document.querySelector('#palette[open] [role=option]')")
    palette = browser.find_element(By.ID, "palette")
    beside = palette.size["width"] // 2 + 20
    ActionChains(browser).move_to_element_with_offset(palette, -beside, 0).click().perform()
    until(browser, "!document.querySelector('dialog[open]')")
    browser.find_element(By.CSS_SELECTOR, "[data-action=palette]").click()
    until(browser, "document.querySelector('#palette[open] [role=option][href=\"/models/\"]')")
    models = (By.CSS_SELECTOR, "#palette [role=option][href='/models/']")
    # What is offered is asked for again when the palette opens, which replaces it.
    patience = WebDriverWait(browser, 20, ignored_exceptions=PAGE_CHANGING)
    patience.until(lambda driver: driver.find_element(*models).click() or True)
    until(browser, "location.pathname === '/models/'")


def test_escape_gives_the_focus_back(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/criteria/")
    browser.find_element(By.CSS_SELECTOR, "[data-action=palette]").click()
    until(browser, "document.querySelector('#palette[open] [role=option]')")
    press(browser, Keys.ESCAPE)
    until(browser, "!document.querySelector('dialog[open]')")
    assert browser.execute_script("return document.activeElement.dataset.action") == "palette"


def test_single_keys_lead_to_pages_and_can_be_switched_off(logged_in: Chrome, portal: Portal) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/workers/")
    until(browser, "window.palette && document.readyState === 'complete'")
    press(browser, "g", "m")
    until(browser, "location.pathname === '/models/'")
    browser.find_element(By.NAME, "search").click()
    press(browser, "g", "d", "?")
    assert browser.find_element(By.NAME, "search").get_attribute("value") == "gd?"
    browser.get(f"{portal.url}/workers/")
    press(browser, "?")
    until(browser, "document.querySelector('#shortcuts[open]')")
    assert troubles(browser) == []
    try:
        browser.find_element(By.ID, "single-keys").click()
        press(browser, Keys.ESCAPE, "g", "m", "?")
        assert browser.execute_script("return location.pathname") == "/workers/"
        assert not browser.find_elements(By.CSS_SELECTOR, "dialog[open]")
    finally:
        browser.execute_script("localStorage.removeItem('single-keys')")
