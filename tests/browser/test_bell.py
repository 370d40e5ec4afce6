"""The bell of a page that nobody touches, and a webhook that leads inside."""

from __future__ import annotations

import base64
import io

import numpy as np
from selenium.webdriver import Chrome
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import Portal, click, fill, press, wait, wait_for_text

UPLOAD = """
const [content, done] = arguments;
const form = new FormData();
form.append("name", "far too few");
form.append("spec", '{"kind": "npz", "task": "classification"}');
form.append("file", new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], "few.npz"));
const headers = JSON.parse(document.body.getAttribute("hx-headers"));
fetch("/api/v1/datasets/", {method: "POST", body: form, headers}).then((answer) => done(answer.status));
"""


def test_the_bell_rings_without_a_reload(logged_in: Chrome, portal: Portal) -> None:
    """An upload that the checks refuse: a worker tells it, and the page that is open shows it."""
    logged_in.get(f"{portal.url}/notifications/")
    press(logged_in, "Mark all as read")
    wait_for_text(logged_in, "h1", "Notifications")
    logged_in.execute_script("window.sameDocument = true")
    status = logged_in.execute_async_script(UPLOAD, too_few_examples())
    assert status == 201
    wait(logged_in, "#bell .count", 60)
    assert logged_in.execute_script("return window.sameDocument === true")
    click(logged_in, "#bell")
    wait_for_text(logged_in, "#notifications", "far too few was refused")
    click(logged_in, "#notifications tbody th a")
    wait_for_text(logged_in, "h1", "far too few")


def test_a_webhook_that_leads_inside_says_so(logged_in: Chrome, portal: Portal) -> None:
    """A name that looks like any other; where it leads shows when a worker connects."""
    logged_in.get(f"{portal.url}/notifications/settings/")
    press(logged_in, "Add a webhook")
    fill(logged_in, "name", "build server")
    fill(logged_in, "address", "https://localhost:8443/hook")
    press(logged_in, "Add the channel")
    press(logged_in, "Send a test message")
    wait_for_text(logged_in, "#messages", "on its way")

    def ended(browser: Chrome) -> bool:
        browser.refresh()
        return "Given up" in wait(browser, "#deliveries").text

    WebDriverWait(logged_in, 30, poll_frequency=0.5).until(ended)
    wait_for_text(logged_in, "#deliveries", "not on the public internet")


def too_few_examples() -> str:
    """A data set of three examples, in base64."""
    content = io.BytesIO()
    np.savez(content, x=np.zeros((3, 4), np.float32), y=np.arange(3))
    return base64.b64encode(content.getvalue()).decode()
