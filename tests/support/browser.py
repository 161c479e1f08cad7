"""Chromium through Playwright; a page that fails its test on any error that the browser reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from playwright.sync_api import ConsoleMessage, Page, Response, expect

from labelapp.accounts.models import User
from tests.support.cast import PASSWORD
from tests.support.parts import require
from tests.support.services import chromium_path

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update", "--disable-sync"]
# Patience costs nothing where all is well, and a busy machine is slow.
expect.set_options(timeout=20_000)
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", event =>
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    require("Chromium")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    return {
        **browser_type_launch_args,
        "executable_path": chromium_path(),
        "args": [*QUIET, "--disable-background-networking", *sandbox],
    }


@pytest.fixture
def browser_errors() -> list[str]:
    """What the browser has reported so far; a test that provokes an error takes it out."""
    return []


def keys_wait_for_scripts(page: Page) -> None:
    """From here on no key of ``page.keyboard`` is pressed before the page's scripts have run.

    A page can be seen, and so expected, before its deferred scripts listen; a person's hand is slower than that.
    Where a key or a click leads to another page, expect something of that page before the next key.
    """

    def patient(act: Callable[..., None]) -> Callable[..., None]:
        def wait_and_act(*args: Any, **options: Any) -> None:
            page.wait_for_load_state("load")
            act(*args, **options)

        return wait_and_act

    for name in ("press", "type"):
        setattr(page.keyboard, name, patient(getattr(page.keyboard, name)))


@pytest.fixture
def page(page: Page, live_server: Any, browser_errors: list[str]) -> Iterator[Page]:
    """A page on the live server; console errors, policy violations and failed requests fail the test."""
    origin = urlsplit(live_server.url).netloc

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            browser_errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def on_response(response: Response) -> None:
        if response.status >= 500 and urlsplit(response.url).netloc == origin:
            browser_errors.append(f"{response.status} for {response.request.method} {response.url}")

    page.add_init_script(REPORT_VIOLATIONS)
    page.on("console", on_console)
    page.on("pageerror", lambda error: browser_errors.append(f"page error: {error}"))
    page.on("response", on_response)
    page.set_default_timeout(30_000)
    keys_wait_for_scripts(page)
    yield page
    if browser_errors:
        pytest.fail("The browser reported:\n" + "\n".join(browser_errors), pytrace=False)


@pytest.fixture
def sign_in(live_server: Any) -> Callable[[Page, User], None]:
    """`sign_in(page, user)`: through the real form, with the password of the cast."""

    def act(page: Page, user: User) -> None:
        page.goto(live_server.url + reverse("accounts:sign_in"))
        page.fill("input[name=username]", user.get_username())
        page.fill("input[name=password]", PASSWORD)
        with page.expect_navigation():
            page.press("input[name=password]", "Enter")
        assert reverse("accounts:sign_in") not in page.url, "the sign-in was refused"

    return act
