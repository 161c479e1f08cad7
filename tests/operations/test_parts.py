"""The small parts of `up`: up.json, console, children, first user, static files, settings."""

from __future__ import annotations

import io
import re
import signal
import sys
import time

import pytest
from django.conf import settings

from labelapp.accounts.models import User
from labelapp.accounts.services import password_set
from labelapp.operations import children, prepare
from labelapp.operations.broker import broker_command, broker_recover, broker_wait
from labelapp.operations.children import Child
from labelapp.operations.console import Console
from labelapp.operations.demo import first_user_prepare
from labelapp.operations.upfile import upfile_read, upfile_update

# up.json


def test_up_json_is_changed_field_by_field_and_private(tmp_path):
    upfile_update(tmp_path, address="http://x/", password="one")
    upfile_update(tmp_path, password=None)
    assert upfile_read(tmp_path) == {"address": "http://x/", "password": None}
    assert (tmp_path / "up.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["up.json"]


def test_a_damaged_up_json_counts_as_none(tmp_path):
    (tmp_path / "up.json").write_text('{"address": ')
    assert upfile_read(tmp_path) == {}


# The first user and the one-time password


@pytest.mark.django_db
def test_the_one_time_password_is_kept_until_it_is_changed(tmp_path):
    user = first_user_prepare(tmp_path)
    password = upfile_read(tmp_path)["password"]
    assert user.check_password(password) and user.must_change_password
    assert first_user_prepare(tmp_path) == user
    assert upfile_read(tmp_path)["password"] == password
    password_set(user, "a password of my own")
    first_user_prepare(tmp_path)
    assert upfile_read(tmp_path) == {"user": user.username, "password": None}


@pytest.mark.django_db
def test_a_lost_one_time_password_is_replaced(tmp_path):
    first_user_prepare(tmp_path)
    lost = upfile_read(tmp_path)["password"]
    (tmp_path / "up.json").unlink()
    user = first_user_prepare(tmp_path)
    password = upfile_read(tmp_path)["password"]
    assert password != lost and user.check_password(password)


@pytest.mark.django_db
def test_a_password_of_another_database_is_not_shown(tmp_path):
    upfile_update(tmp_path, user="admin", password="from-another-database")
    user = first_user_prepare(tmp_path)
    assert user.check_password(upfile_read(tmp_path)["password"])


@pytest.mark.django_db(transaction=True)
def test_changing_the_password_takes_it_out_of_up_json(data_dir):
    user = first_user_prepare(data_dir)
    other = User.objects.create_user("other", password="x")
    password_set(other, "something else entirely")
    assert upfile_read(data_dir)["password"]
    password_set(user, "a password of my own")
    assert upfile_read(data_dir)["password"] is None
    (data_dir / "up.json").unlink()


# What is said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_rewrites_one_line_on_a_terminal():
    stream = Terminal()
    console = Console(stream)
    console.progress("work", "work: 1 %")
    console.line("by the way")
    console.progress("work", "work: 2 %")
    console.progress_end()
    assert stream.getvalue().count("\n") == 1
    assert re.sub(r"\r\x1b\[K", "|", stream.getvalue()) == "|work: 1 %|by the way\nwork: 1 %|work: 2 %|"


def test_progress_is_a_plain_line_now_and_then_elsewhere():
    stream = io.StringIO()
    console = Console(stream)
    for percent in range(50):
        console.progress("work", f"work: {percent} %")
    console.progress("rest", "rest: 0 %")
    console.progress_end()
    assert stream.getvalue() == "work: 0 %\nrest: 0 %\n"


# Children


def child(tmp_path, code: str, farewell=((signal.SIGTERM, 5.0),)) -> Child:
    return Child("child", [sys.executable, "-c", code], tmp_path / "child.log", farewell)


def test_a_dead_child_is_started_again_with_growing_pauses(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "BACKOFF_SECONDS", (0.0, 0.2))
    it = child(tmp_path, "print('here', flush=True)")
    it.start()
    deaths = []
    while len(deaths) < 3:
        if death := it.watch():
            deaths.append(death)
        time.sleep(0.01)
    assert "starting it again in 0 s" in deaths[0]
    assert "starting it again in 0.2 s" in deaths[1]
    assert it.log.read_text().count("here") == 3


def test_a_stubborn_child_gets_the_next_signal(tmp_path):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    it = child(tmp_path, code, [(signal.SIGTERM, 0.3), (signal.SIGQUIT, 60.0)])
    it.start()
    process = it.process
    while "on" not in it.log.read_text():
        time.sleep(0.01)
    it.stop(lambda: False)
    assert process.returncode == -signal.SIGQUIT


def test_a_log_is_turned_over(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOG_BYTES", 10)
    it = child(tmp_path, "print('x' * 20)")
    for _ in range(2):
        it.start()
        it.process.wait()
    assert it.log.read_text() == "x" * 20 + "\n"
    assert (tmp_path / "child.old.log").exists()


def test_a_broker_that_was_left_running_is_ended(private_broker, tmp_path):
    binary = children.Path(private_broker.process.args[0])
    path = tmp_path / "b.sock"
    left = Child("broker", broker_command(binary, path, tmp_path), tmp_path / "broker.log", [])
    left.start()
    assert broker_wait(path, 5)
    assert broker_recover(path)
    assert left.process.wait(5) == 0
    assert not path.exists()


# Static files and settings


def test_static_files_are_collected_only_when_one_has_changed(tmp_path, settings):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.css").write_text("a {}")
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    prepare.get_finders.__globals__["get_finder"].cache_clear()
    try:
        assert prepare.static_prepare() is True
        assert prepare.static_prepare() is False
        (source / "b.css").write_text("b {}")
        assert prepare.static_prepare() is True
        assert (tmp_path / "collected" / "b.css").exists()
    finally:
        prepare.get_finders.__globals__["get_finder"].cache_clear()


def test_every_setting_is_documented_and_the_other_way_round():
    source = (settings.BASE_DIR / "labelapp" / "config" / "settings.py").read_text()
    read = set(re.findall(r"\benv\.\w+\(\s*\"([A-Z_]+)\"", source))
    document = (settings.BASE_DIR / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", document, re.MULTILINE))
    assert read == documented


def test_the_environment_is_read_in_the_settings_alone():
    """What else looks into os.environ does so in order to start another process, or before the settings exist."""
    allowed = {
        "config/settings.py",
        "config/asgi.py",
        "config/wsgi.py",
        "operations/children.py",
        "operations/supervisor.py",
    }
    folder = settings.BASE_DIR / "labelapp"
    readers = {str(path.relative_to(folder)) for path in folder.rglob("*.py") if "os.environ" in path.read_text()}
    assert readers <= allowed
