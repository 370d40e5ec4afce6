"""The whole way in a browser, as a member goes it: model, data, criteria, session, report, promotion and back."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.conftest import ROOT, Portal, ask, choose_file, click, fill, press, wait, wait_for_text
from tests.browser.material import examples

SAMPLE = ROOT / "samples" / "fashion_mobilenet.onnx"


def test_a_real_model_is_uploaded_with_a_bar_that_moves(logged_in: Chrome, portal: Portal, slow_network: None) -> None:
    logged_in.get(f"{portal.url}/models/upload/")
    choose_file(logged_in, SAMPLE)
    wait_for_text(logged_in, "[data-chosen]", "fashion_mobilenet.onnx")
    fill(logged_in, "name", "uploaded sample")
    press(logged_in, "Upload")
    wait(logged_in, "[data-progress] progress")
    wait(logged_in, "#version-state", 90)
    logged_in.execute_script("window.sameDocument = true")
    wait_for_text(logged_in, "#version-state .badge", "Ready", 90)
    assert "uploaded sample v1" in logged_in.find_element(By.TAG_NAME, "h1").text
    # The next step is there without a reload, at the top and where the page speaks of sessions.
    for place in ("#version-actions", "#version-sessions"):
        wait_for_text(logged_in, f"{place} a", "Optimize")
    assert logged_in.execute_script("return window.sameDocument === true")


def test_a_data_set_is_uploaded_and_leads_to_a_session(logged_in: Chrome, portal: Portal, tmp_path: Path) -> None:
    logged_in.get(f"{portal.url}/datasets/upload/")
    choose_file(logged_in, examples(tmp_path / "others.npz"))
    fill(logged_in, "name", "others")
    press(logged_in, "Upload")
    wait_for_text(logged_in, "#dataset-state .badge", "Ready", 60)
    click(logged_in, "#dataset-actions a[href*='/sessions/new/']")
    wait(logged_in, "#session-question")


def test_a_refused_file_shows_its_code_and_a_sentence(logged_in: Chrome, portal: Portal, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(SAMPLE.read_bytes()[:5000])
    logged_in.get(f"{portal.url}/models/upload/")
    choose_file(logged_in, broken)
    fill(logged_in, "name", "broken")
    press(logged_in, "Upload")
    refusal = wait(logged_in, "main [role=alert]", 60)
    assert "The model file ends in the middle" in refusal.text
    assert refusal.find_element(By.TAG_NAME, "code").text == "model.truncated"


def test_a_wrong_form_points_at_its_field(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(f"{portal.url}/criteria/new/")
    fill(logged_in, "name", "impossible")
    fill(logged_in, "confidence", "0.3")
    press(logged_in, "Save")
    wait(logged_in, "[name=confidence][aria-invalid=true]")
    assert logged_in.switch_to.active_element.get_attribute("name") == "confidence"


def test_the_report_draws_and_shows_every_candidate(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    logged_in.get(f"{portal.url}{won_session}report/")
    for part in ("report-constraints", "report-comparison", "report-blocks", "report-classes", "analysis-layers"):
        assert logged_in.find_element(By.ID, part).is_displayed()
    for part in ("report-blocks", "report-classes", "analysis-layers"):
        assert logged_in.find_element(By.CSS_SELECTOR, f"#{part} svg").is_displayed()
    for other in logged_in.find_elements(By.CSS_SELECTOR, "#report-plan a[href^='#candidate-']"):
        other.click()
        key = (other.get_attribute("href") or "").rpartition("#")[2]
        wait(logged_in, f"#{key} svg")


def test_the_package_holds_the_artifact_and_its_report(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    logged_in.get(f"{portal.url}{won_session}report/")
    address = logged_in.find_element(By.LINK_TEXT, "Download the package").get_attribute("href") or ""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in logged_in.get_cookies())
    status, package = ask(address, {"Cookie": cookies})
    assert status == 200
    names = zipfile.ZipFile(io.BytesIO(package)).namelist()
    assert {"report.html", "report.json", "recipe.json", "run.py"} <= {Path(name).name for name in names}


def test_the_winner_is_promoted_and_rolled_back(logged_in: Chrome, portal: Portal, won_session: str) -> None:
    browser = logged_in
    browser.get(f"{portal.url}/models/")
    press(browser, "small")
    fill(browser, "alias", "production")
    fill(browser, "version", "small v1")
    click(browser, "main form:has(#suggested-aliases) button")
    wait_for_text(browser, "#versions .badge-accent", "production")
    browser.get(f"{portal.url}{won_session}report/")
    press(browser, "Promote")
    wait_for_text(browser, "#promotion", "small v2")
    wait_for_text(browser, "#promotion .badge-accent", "production")
    fill(browser, "reason", "It was slower on the production machine.")
    press(browser, "Roll back")
    wait_for_text(browser, "#promotion", "no alias points at it")
    browser.get(f"{portal.url}/audit/?action=session.promotion")
    wait_for_text(browser, "#audit", "It was slower on the production machine.")
