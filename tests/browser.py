"""A real browser for the tests of pages: Debian's Chromium, headless; they are skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

WORDS = ("--headless=new", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--no-first-run")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    places = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    browser, driver = next(filter(None, places), None), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("there is no Chromium with its chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in (*WORDS, *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()


class Browser:
    """What the tests ask of a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Show a page, and forget what was logged before."""
        mode = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media="", features=[mode])
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.go("about:blank")
        self.problems(), self.requests()
        self.go(address)

    def go(self, address: str) -> None:
        """Be at an address, its document complete: the driver may come back from ``get`` before the old one is gone."""
        from selenium.common.exceptions import WebDriverException

        with suppress(WebDriverException):  # "aborted by navigation": whether it is there is asked below
            self.driver.get(address)
        ended = time.monotonic() + 20
        while not self._there(address):
            assert time.monotonic() < ended, f"the browser never came to {address}"
            time.sleep(0.02)

    def _there(self, address: str) -> bool:
        from selenium.common.exceptions import WebDriverException

        try:
            history = self.command("Page.getNavigationHistory")
            document = self.command("DOM.getDocument", depth=1)["root"]
            here = history["entries"][history["currentIndex"]]["url"]
            return here == document["documentURL"] == address and "</body>" in self.driver.page_source
        except WebDriverException:  # between two documents
            return False

    def command(self, name: str, **values: Any) -> Any:
        """One of the developer tools' protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *values: Any) -> Any:
        """What a script gives that ends with an expression; promises are waited for."""
        return self.driver.execute_script(f"return ({script})", *values)

    def text(self, selector: str) -> str:
        """What the first such element says."""
        return self.run("document.querySelector(arguments[0]).innerText", selector)

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def frame(self) -> None:
        """Wait until what was asked for is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def problems(self) -> list[str]:
        """What the console said since it was last asked: errors of scripts and what the policy forbade."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since this was last asked."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [entry for entry in entries if entry["method"] == "Network.requestWillBeSent"]
        return [entry["params"]["request"]["url"] for entry in sent]
