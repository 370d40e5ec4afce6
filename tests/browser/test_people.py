"""Tokens for machines, invitations for people."""

from __future__ import annotations

import re

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.chromium import new_browser
from tests.browser.conftest import Portal, ask, click, fill, press, wait, wait_for_text
from tests.browser.page_rules import troubles


def test_a_token_made_on_the_page_opens_the_api_until_it_is_revoked(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(f"{portal.url}/tokens/")
    fill(logged_in, "name", "nightly")
    press(logged_in, "Create the token")
    token = wait(logged_in, "#token-text").text
    headers = {"Authorization": f"Bearer {token}"}
    status, me = ask(f"{portal.url}/api/v1/me/", headers)
    assert status == 200
    assert portal.email in me.decode()
    assert ask(f"{portal.url}/api/v1/sessions/", headers, b"{}")[0] == 403
    click(logged_in, "form[data-confirm] .button-danger")
    logged_in.switch_to.alert.accept()
    wait_for_text(logged_in, "#messages", "was revoked")
    assert ask(f"{portal.url}/api/v1/me/", headers)[0] == 401


def test_a_person_who_is_invited_joins_by_the_link_in_the_mail(logged_in: Chrome, portal: Portal) -> None:
    logged_in.get(f"{portal.url}/team/")
    invitation = "form[action='/team/invite/']"
    fill(logged_in, "email", "nina@example.org", invitation)
    fill(logged_in, "role", "Viewer", invitation)
    press(logged_in, "Send the invitation")
    wait_for_text(logged_in, "#messages", "nina@example.org")
    with new_browser() as other:
        other.get(_link_in_the_mail(portal))
        assert troubles(other) == []
        fill(other, "first_name", "Nina")
        fill(other, "password", "a long way to Tipperary")
        fill(other, "password_again", "a long way to Tipperary")
        press(other, "Create my account and join")
        wait(other, "#dashboard")
        assert not other.find_elements(By.LINK_TEXT, "New session")
        other.get(f"{portal.url}/sessions/new/")
        wait_for_text(other, "main", "needs the role engineer")
    logged_in.get(f"{portal.url}/team/")
    wait_for_text(logged_in, "main tbody", "nina@example.org")


def _link_in_the_mail(portal: Portal) -> str:
    mails = [path.read_text() for path in (portal.var / "mail").iterdir()]
    text = next(mail for mail in mails if "nina@example.org" in mail).replace("=\n", "")
    path = re.search(r"https?://[^/\s]+(/\S+)", text)
    assert path, text
    return portal.url + path[1]
