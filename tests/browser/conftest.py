"""A real portal (Redis, workers, web server, in a folder of its own) and a real browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.chromium import CHROMIUM, DRIVER, new_browser, throttled
from tests.browser.material import examples, small_model
from tests.live_portal import START_S, running_portal

ROOT = Path(__file__).resolve().parents[2]
# A page that is replaced while chromedriver looks at it: one of its answers to that has no class of its own. An error
# that stays ends the wait with its time.
PAGE_CHANGING = (StaleElementReferenceException, WebDriverException)
LOOKS_EVERY_S = 0.05
"""What a page shows only for a moment is to be seen too: a session that is resumed may fail at once."""
SESSION_S = 600
SLOW_BYTES_S = 400_000
"""So slow that the bar of an upload is seen on its way."""


@dataclass(frozen=True)
class Portal:
    url: str
    email: str
    password: str
    var: Path
    """Its folder: files, mail, log."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = pytest.mark.skip(reason="no chromium and chromedriver on this machine")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(SESSION_S + 300))  # Whichever comes first waits for the session.
            if not (CHROMIUM and DRIVER):
                item.add_marker(missing)


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    """`manage.py run --demo` as an operator starts it, told only that its machine is never quiet; stopped by Ctrl-C."""
    with running_portal("--demo") as (process, log):
        yield _told(process, log)


def _told(process: subprocess.Popen[bytes], log: Path) -> Portal:
    """What the portal says about itself once it is up."""
    for _ in range(START_S * 4):
        text = log.read_text()
        url = re.search(r"Lathe is running: (\S+)", text)
        login = re.search(r"Log in as (\S+) with the password (\S+)", text)
        if url and login:
            return Portal(url[1], login[1], login[2], log.parent)
        try:
            process.wait(0.25)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"the portal did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    with new_browser() as driver:
        yield driver


@pytest.fixture(scope="session")
def logged_in(browser: Chrome, portal: Portal) -> Chrome:
    browser.get(f"{portal.url}/accounts/login/")
    browser.find_element(By.NAME, "login").send_keys(portal.email)
    browser.find_element(By.NAME, "password").send_keys(portal.password)
    browser.find_element(By.CSS_SELECTOR, "form button.button-primary").click()
    wait(browser, "#dashboard")
    return browser


@pytest.fixture
def slow_network(logged_in: Chrome) -> Iterator[None]:
    with throttled(logged_in, SLOW_BYTES_S):
        yield


def wait(browser: Chrome, selector: str, seconds: float = 30) -> WebElement:
    """The first element that fits `selector` and is seen, as soon as there is one."""
    patience = WebDriverWait(browser, seconds, LOOKS_EVERY_S, PAGE_CHANGING)

    def seen(driver: Chrome) -> WebElement | None:
        return next((one for one in driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()), None)

    found = patience.until(seen, f"nothing like {selector} at {browser.current_url}")
    assert found is not None
    return found


def wait_for_text(browser: Chrome, selector: str, text: str, seconds: float = 30) -> None:
    """Waits until some element that fits `selector` says `text`."""
    patience = WebDriverWait(browser, seconds, LOOKS_EVERY_S, PAGE_CHANGING)
    patience.until(
        lambda driver: any(text in one.text for one in driver.find_elements(By.CSS_SELECTOR, selector)),
        f"no {selector} says “{text}” at {browser.current_url}",
    )


def click(browser: Chrome, selector: str, seconds: float = 30) -> None:
    """Clicks on the first element that fits `selector` and is seen, again if the page replaced it meanwhile."""
    _clicked(browser, (By.CSS_SELECTOR, selector), f"nothing like {selector}", seconds)


def press(browser: Chrome, label: str) -> None:
    """Presses the button or follows the link that says `label`."""
    path = f"//main//*[self::button or self::a][contains(normalize-space(.), '{label}')]"
    _clicked(browser, (By.XPATH, path), f"no control says “{label}”", 30)


def _clicked(browser: Chrome, where: tuple[str, str], missing: str, seconds: float) -> None:
    def seen(driver: Chrome) -> WebElement | None:
        return next((one for one in driver.find_elements(*where) if one.is_displayed()), None)

    def clicked(driver: Chrome) -> bool:
        one = WebDriverWait(driver, seconds, ignored_exceptions=PAGE_CHANGING).until(seen, f"{missing} at {address}")
        assert one is not None
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", one)
        one.click()
        return True

    address = browser.current_url
    # An element that is gone was not clicked. After any other error it may have been.
    WebDriverWait(browser, seconds, ignored_exceptions=[StaleElementReferenceException]).until(clicked)


def fill(browser: Chrome, name: str, text: str, form: str = "main") -> None:
    """Answers the question `name` of the form that fits the selector `form`."""
    field = wait(browser, f"{form} [name={name}]")
    if field.tag_name == "select":
        return Select(field).select_by_visible_text(text)
    field.clear()
    field.send_keys(text)
    return None


def choose_file(browser: Chrome, path: Path) -> None:
    browser.find_element(By.CSS_SELECTOR, "main input[type=file]").send_keys(str(path))


@pytest.fixture(scope="session")
def small_session(logged_in: Chrome, portal: Portal, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a session that has been started, and that ends soon with a smaller model on any processor. The demo
    takes minutes and asks for speed, which int8 brings only to processors with instructions for it.

    The model, the data and the criteria are each made on their page.
    """
    browser, folder = logged_in, tmp_path_factory.mktemp("material")
    browser.get(f"{portal.url}/models/upload/")
    choose_file(browser, small_model(folder / "small.onnx"))
    fill(browser, "name", "small")
    press(browser, "Upload")
    wait_for_text(browser, "#version-state .badge", "Ready", 60)
    browser.get(f"{portal.url}/datasets/upload/")
    choose_file(browser, examples(folder / "centres.npz"))
    fill(browser, "name", "centres")
    press(browser, "Upload")
    wait_for_text(browser, "#dataset-state .badge", "Ready", 60)
    browser.get(f"{portal.url}/criteria/new/")
    fill(browser, "name", "twice as small")
    fill(browser, "objective", "Size")
    fill(browser, "min_size_reduction", "2")
    fill(browser, "candidates", "2")
    press(browser, "Save")
    wait_for_text(browser, "h1", "twice as small")
    browser.get(f"{portal.url}/sessions/new/")
    fill(browser, "version", "small v1")
    fill(browser, "dataset", "centres")
    fill(browser, "criteria_set", "twice as small v1")
    wait(browser, "#preview-plan tbody tr")
    assert browser.find_elements(By.CSS_SELECTOR, "#preview-compatibility .badge-ok")
    press(browser, "Start the session")
    wait(browser, "#session-head")
    return urlsplit(browser.current_url).path


@pytest.fixture(scope="session")
def won_session(logged_in: Chrome, portal: Portal, small_session: str) -> str:
    """The path of the small session once it has ended: the live page itself says so, without a reload."""
    logged_in.get(portal.url + small_session)
    wait(logged_in, "#session-report", SESSION_S)
    return small_session


def newest_session(browser: Chrome, portal: Portal) -> str:
    """The path of the session that the dashboard shows first; it brings itself up to date until there is one."""
    browser.get(portal.url)
    link = wait(browser, "#running a.strong, #finished tbody th a", 60)
    return urlsplit(link.get_attribute("href") or "").path


def ask(url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, bytes]:
    """Status and content of a program's request, a GET without `body` and a POST of JSON with one."""
    request = Request(url, data=body, headers={"Content-Type": "application/json", **headers})
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as refusal:
        return refusal.code, refusal.read()
