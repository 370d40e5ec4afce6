"""The store in a real browser: uploading with the script, and Netron's graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from apps.accounts.models import User
from apps.models import messages, services
from apps.models.models import (
    DataSet,
    InspectionStatus,
    ModelMetadata,
    ModelVersion,
    RegisteredModel,
    Upload,
)
from tests.browser.chromium import CHROMIUM, DRIVER, log_in, new_browser
from tests.browser.page_rules import troubles
from tests.models.conftest import linear_model, upload_of
from tests.models.test_formats import SUMMARY

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Debian's chromium is not installed"),
]


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch) -> None:
    monkeypatch.setattr(messages, "send_version", lambda pk: None)
    monkeypatch.setattr(messages, "send_dataset", lambda pk: None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with new_browser() as driver:
        yield driver


@pytest.fixture
def page(chromium: webdriver.Chrome, live_server: Any, engineer: User) -> webdriver.Chrome:
    """A browser in which the engineer is logged in; `page.base` is the server's address."""
    log_in(chromium, live_server.url, engineer)
    chromium.base = live_server.url  # type: ignore[attr-defined]
    for kind in ("browser", "performance"):
        chromium.get_log(kind)  # what an earlier test left
    return chromium


def wait(page: webdriver.Chrome) -> WebDriverWait:
    return WebDriverWait(page, 30)


def requested(page: webdriver.Chrome) -> list[str]:
    """Every address that the browser asked for."""
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def strangers(page: webdriver.Chrome) -> list[str]:
    return [url for url in requested(page) if not url.startswith((page.base, "data:", "blob:", "chrome:"))]


def errors(page: webdriver.Chrome) -> list[str]:
    """What the console reports, less what this server lacks: an icon, and sockets, whose refusal htmx reports."""
    severe = (entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE")
    return [error for error in severe if "favicon" not in error and "/static/django_htmx/" not in error]


def test_a_file_is_uploaded_in_pieces_and_becomes_a_version(page: webdriver.Chrome, tmp_path: Path):
    path = tmp_path / "net.onnx"
    path.write_bytes(linear_model(features=512, classes=512))
    page.get(f"{page.base}/models/upload/")
    page.find_element(By.NAME, "file").send_keys(str(path))
    assert "net.onnx" in page.find_element(By.CSS_SELECTOR, "[data-chosen]").text
    page.find_element(By.NAME, "name").send_keys("From the browser")
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    wait(page).until(lambda _: "/versions/1/" in page.current_url)
    version = ModelVersion.objects.get()
    assert (version.filename, version.blob.size_bytes) == ("net.onnx", path.stat().st_size)
    assert not Upload.objects.exists()
    addresses = requested(page)
    assert any("/api/v1/uploads/" in address for address in addresses)
    assert not strangers(page)


def test_an_upload_goes_on_from_where_it_stopped(page: webdriver.Chrome, tmp_path: Path, engineer: User, team: Any):
    data = linear_model(features=256, classes=256)
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    upload = services.begin_upload(team, engineer, "net.onnx", len(data))
    services.append_chunk(upload, 0, upload_of(data[:1000]).file)
    page.get(f"{page.base}/models/upload/")
    page.find_element(By.NAME, "file").send_keys(str(path))
    page.execute_script(
        "const [file] = document.querySelector('input[type=file]').files;"
        "localStorage.setItem(`upload:${file.name}:${file.size}:${file.lastModified}`, arguments[0]);",
        str(upload.pk),
    )
    page.find_element(By.NAME, "name").send_keys("Resumed")
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    wait(page).until(lambda _: "/versions/1/" in page.current_url)
    assert ModelVersion.objects.get().blob.size_bytes == len(data)


def test_a_refused_file_is_said_beside_the_field(page: webdriver.Chrome, tmp_path: Path):
    path = tmp_path / "report.onnx"
    path.write_bytes(b"%PDF-1.7 not a model")
    page.get(f"{page.base}/models/upload/")
    page.find_element(By.NAME, "file").send_keys(str(path))
    page.find_element(By.NAME, "name").send_keys("Wrong")
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    error = wait(page).until(lambda driver: driver.find_element(By.CSS_SELECTOR, ".error"))
    assert "PDF document" in error.text
    assert not RegisteredModel.objects.exists()


def test_fields_of_a_data_set_follow_its_kind(page: webdriver.Chrome):
    page.get(f"{page.base}/datasets/upload/")
    page.find_element(By.CSS_SELECTOR, "form[data-uploads] summary").click()
    width, columns = page.find_element(By.NAME, "width"), page.find_element(By.NAME, "columns")
    assert not width.is_displayed()
    page.find_element(By.CSS_SELECTOR, "select[name=kind] option[value=images]").click()
    assert width.is_displayed()
    page.find_element(By.CSS_SELECTOR, "select[name=kind] option[value=table]").click()
    assert columns.is_displayed()
    assert not width.is_displayed()
    assert not DataSet.objects.exists()


def test_fields_of_texts_follow_the_task_as_well(page: webdriver.Chrome):
    page.get(f"{page.base}/datasets/upload/")
    page.find_element(By.CSS_SELECTOR, "form[data-uploads] summary").click()
    fields = ("separator", "text_label", "choices", "score", "pairs")

    def shown(kind: str, task: str) -> list[str]:
        for name, value in (("kind", kind), ("task", task)):
            page.find_element(By.CSS_SELECTOR, f"select[name={name}] option[value={value}]").click()
        return [name for name in fields if page.find_element(By.NAME, name).is_displayed()]

    assert shown("text", "language_modeling") == ["separator"]
    assert shown("text", "classification") == ["text_label"]
    assert shown("text", "multiple_choice") == ["choices"]
    assert shown("text", "embedding") == ["score"]
    assert shown("npz", "embedding") == ["pairs"]


def test_the_graph_is_drawn_from_this_host_alone(page: webdriver.Chrome, make_version: Any):
    version = make_version(3)
    page.get(f"{page.base}/models/{version.model.pk}/versions/1/graph/")
    page.switch_to.frame(page.find_element(By.TAG_NAME, "iframe"))
    wait(page).until(lambda driver: "MatMul" in driver.find_element(By.ID, "target").get_attribute("innerHTML"))
    assert not strangers(page)
    assert not errors(page)


@pytest.mark.parametrize("width", [400, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_and_weights_are_read_by_keyboard_at_every_width(
    page: webdriver.Chrome, version: ModelVersion, width: int, theme: str
):
    ModelMetadata.record(version, SUMMARY)
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    page.get(f"{page.base}{version.get_absolute_url()}")
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    page.execute_script("for (const fold of document.querySelectorAll('#version-state details')) fold.open = true")
    listing = page.find_element(By.CSS_SELECTOR, ".listing")
    listing.send_keys("")  # raises where it cannot take the focus
    assert page.switch_to.active_element == listing
    assert "def build():" in listing.text
    assert not troubles(page)


def test_a_pending_version_shows_its_result_by_itself(page: webdriver.Chrome, make_version: Any):
    version = make_version(3, status=InspectionStatus.PENDING)
    page.get(f"{page.base}{version.get_absolute_url()}")
    assert "Being checked" in page.find_element(By.ID, "version-state").text
    version.accept()
    wait(page).until(lambda driver: "Ready" in driver.find_element(By.ID, "version-state").text)
