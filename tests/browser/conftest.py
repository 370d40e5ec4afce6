"""A real portal (Redis, workers, web server, in a folder of its own) and a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
START_S = 180


@dataclass(frozen=True)
class Portal:
    url: str
    email: str
    password: str
    log: Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = pytest.mark.skip(reason="no chromium and chromedriver on this machine")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not (CHROMIUM and DRIVER):
                item.add_marker(missing)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    """`manage.py run --demo` as an operator starts it, with nothing exported; stopped as Ctrl-C stops it."""
    with tempfile.TemporaryDirectory(prefix="lathe-browser-") as var:
        log = Path(var) / "run.log"
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LATHE_", "DJANGO_", "DATABASE_", "REDIS_", "STORAGE_", "EMAIL_"))
        }
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "run", "--demo", "--port", str(free_port())],
                cwd=ROOT,
                env={**environment, "LATHE_VAR_DIR": var, "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield _told(process, log)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(30)


def _told(process: subprocess.Popen[bytes], log: Path) -> Portal:
    """What the portal says about itself once it is up."""
    for _ in range(START_S * 4):
        text = log.read_text()
        url = re.search(r"Lathe is up: (\S+)", text)
        login = re.search(r"Log in as (\S+) with the password (\S+)", text)
        if url and login:
            return Portal(url[1], login[1], login[2], log)
        try:
            process.wait(0.25)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"the portal did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    profile = tempfile.mkdtemp(prefix="lathe-chromium-")
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.set_window_size(1440, 1000)
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="session")
def logged_in(browser: Chrome, portal: Portal) -> Chrome:
    browser.get(f"{portal.url}/accounts/login/")
    browser.find_element(By.NAME, "login").send_keys(portal.email)
    browser.find_element(By.NAME, "password").send_keys(portal.password)
    browser.find_element(By.CSS_SELECTOR, "form button.button-primary").click()
    WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.ID, "dashboard"))
    return browser
