"""What every room's tests share. Fixtures of one room belong in tests/<room>/conftest.py."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import settings as hypothesis_settings

from tests.support.parts import LEFT_OUT

pytest_plugins = ["tests.support.cast", "tests.support.workers", "tests.support.browser"]

# How long an example takes says nothing on a machine that runs other things as well.
hypothesis_settings.register_profile("tealeaves", deadline=None)
hypothesis_settings.load_profile("tealeaves")

# Files whose tests start processes take longest; where several processes share the files they come first.
PROCESS_FIXTURES = {"worker", "up"}
# Playwright's event loop is marked as running for as long as a browser is open in the process. Under such a mark
# asyncio.run is refused and Django opens a second connection, so files with a browser come last, everywhere.
BROWSER_FIXTURE = "playwright"
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database: touches a database; runs on PostgreSQL too (set by itself)")
    # A job in the background is started with Ctrl-C and Ctrl-\\ ignored, and hands that on to what the tests start.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark before `-m` selects; put into order after pytest-django has, so that ours is not lost."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & DATABASE_FIXTURES or item.get_closest_marker("django_db"):
            item.add_marker(pytest.mark.database)
    yield
    slow = {item.path for item in items if PROCESS_FIXTURES & set(getattr(item, "fixturenames", ()))}
    browser = {item.path for item in items if BROWSER_FIXTURE in getattr(item, "fixturenames", ())}
    shared = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=lambda item: (item.path in browser, shared and item.path not in slow))


def pytest_report_header() -> str:
    return f"database: {settings.DATABASES['default']['ENGINE'].rpartition('.')[2]}, data: {settings.DATA_DIR}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.getreports("skipped"))
    for reason, number in reasons.items():
        if LEFT_OUT in reason:
            terminalreporter.write_line(f"{number} tests {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.fixture
def data_dir() -> Path:
    """The tests' own data directory; a worker of the tests shares it, and var/ is never touched."""
    assert Path(os.environ["TEALEAVES_DATA"]) == settings.DATA_DIR
    return settings.DATA_DIR
