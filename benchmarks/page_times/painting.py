"""When Chromium paints the first text or picture of a page that it has nothing of in its cache."""

from __future__ import annotations

from selenium.webdriver.support.wait import WebDriverWait

from benchmarks.page_times.site import Site

MAIN = ("dashboard", "sessions", "session-new", "session", "report", "models", "model", "version", "dataset", "compare")
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
PATIENCE_S = 60.0


def first_paints(site: Site, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from the start of the navigation, by page. A first round, which starts Chromium's parts, does not
    count.
    """
    from tests.browser.chromium import log_in, new_browser

    found: dict[str, list[float]] = {name: [] for name in MAIN}
    with new_browser() as browser:
        log_in(browser, site.url, site.person)
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        for number in range(rounds + 1):
            for name in MAIN:
                browser.get(site.url + site.pages[name])
                painted = WebDriverWait(browser, PATIENCE_S).until(lambda driver: driver.execute_script(PAINTED))
                if number:
                    found[name].append(float(painted))
    return found
