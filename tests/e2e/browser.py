"""Debian's Chromium, driven by Playwright (of .deps/test-venv, see scripts/test-venv), and a page that keeps account of itself."""

import pathlib
import shutil
import sys

import packages
from bitloop import BIN, ROOT

SCREENSHOTS = pathlib.Path(BIN).parent / "screenshots"
CHROMIUM = shutil.which("chromium")


class Browser:
    def __init__(self):
        assert CHROMIUM, "Chromium is missing: install the Debian package chromium (scripts/setup does)"
        packages.python()  # says how to make the environment where there is none
        sys.path += map(str, (ROOT / ".deps" / "test-venv").glob("lib/python3*/site-packages"))
        from playwright.sync_api import sync_playwright
        self.playwright = sync_playwright().start()
        # Containers have no user namespaces for Chromium's own sandbox; the pages are ours.
        self.chromium = self.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])

    def close(self):
        self.chromium.close()
        self.playwright.stop()

    def page(self, host, address="#/", dark=False, narrow=False, allowed=()):
        return Page(self, host, address, dark, narrow, allowed)


class Page:
    """A page of the dashboard. close() asserts what holds for every one: no error in the console, no violation of the content
    security policy, no request to anybody but the server."""

    def __init__(self, browser, host, address, dark, narrow, allowed):
        size = {"width": 390, "height": 844} if narrow else {"width": 1360, "height": 900}
        self.context = browser.chromium.new_context(viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce",
                                                    accept_downloads=True)
        self.page = self.context.new_page()
        self.host, self.allowed, self.complaints, self.requests = host, allowed, [], []
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.add_init_script("window.violations = [];"
                                  "document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI));")
        self.page.goto(f"{host.url}/{address}")
        self.page.wait_for_selector("h1")

    def __getattr__(self, name):
        return getattr(self.page, name)

    def go(self, address):
        self.page.evaluate("(address) => { location.hash = address; }", address)

    def until(self, expression, argument=None):
        self.page.wait_for_function(expression, arg=argument, timeout=60_000)

    def shot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def close(self):
        violations = self.page.evaluate("violations")
        self.context.close()
        assert violations == []
        complaints = [text for text in self.complaints if not any(word in text for word in self.allowed)]
        assert complaints == []
        assert [url for url in self.requests if not url.startswith((self.host.url + "/", f"blob:{self.host.url}/", "data:"))] == []
