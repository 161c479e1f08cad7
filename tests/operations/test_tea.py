"""`./tea` on a checkout with requirements that ask for nothing, so that no package index is needed."""

from __future__ import annotations

import ast
import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings

from tests.operations.conftest import free_port

TEA = Path(settings.BASE_DIR) / "tea"
ECHO = "import os, sys; print(sys.prefix, os.environ.get('TEALEAVES_DATA'), *sys.argv[1:])"


def checkout(folder: Path, requirements: str = "") -> Path:
    folder.mkdir()
    shutil.copy(TEA, folder / "tea")
    (folder / "requirements.txt").write_text(requirements)
    (folder / "requirements-test.txt").write_text("-r requirements.txt\n")
    (folder / "manage.py").write_text(ECHO)
    (folder / "tests").mkdir()
    (folder / "tests" / "run.py").write_text(ECHO)
    return folder


def tea(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "tea"), *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose environment two ./tea made at once."""
    folder = checkout(tmp_path_factory.mktemp("tea") / "checkout")
    command = [sys.executable, str(folder / "tea"), "manage", "hello"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert all(output.startswith(str(folder / ".venv")) for output, _ in answers)
    assert sum("waiting for it" in errors for _, errors in answers) == 1
    assert sum("Installing the packages" in errors for _, errors in answers) == 1
    return folder


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("tea", str(TEA))
    spec = importlib.util.spec_from_loader("tea", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def test_nothing_to_do_is_quiet_and_fast(made):
    started = time.monotonic()
    result = tea(made, "manage", "hello", "world")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split()[-2:] == ["hello", "world"]
    assert time.monotonic() - started < 1


def test_up_hands_its_data_directory_over_as_a_setting(made):
    result = tea(made, "up", "--port", "8123", "--data", "elsewhere", "--exit-when-ready")
    assert result.stdout.split()[1:] == [str(made / "elsewhere"), "up", "--port", "8123", "--exit-when-ready"]


def test_any_other_word_goes_to_manage(made):
    assert tea(made, "status").stdout.split()[-1] == "status"


def test_test_requirements_are_a_second_stage(made):
    result = tea(made, "test", "-k", "one")
    assert "Installing the packages of requirements-test.txt" in result.stderr
    assert result.stdout.split()[-2:] == ["-k", "one"]
    assert tea(made, "test").stderr == ""
    assert tea(made, "manage", "hello").stderr == ""


def test_an_interrupted_installation_goes_on(made):
    """The stamp is missing, and a package has metadata but was not finished."""
    (made / ".venv" / "tealeaves.json").unlink()
    packages = next((made / ".venv").glob("lib/python*/site-packages"))
    half = packages / "half_done-1.0.dist-info"
    half.mkdir()
    (half / "METADATA").write_text("Metadata-Version: 2.1\nName: half-done\nVersion: 1.0\n")
    result = tea(made, "manage", "hello")
    assert result.returncode == 0
    assert "Installing" in result.stderr and "Making the environment" not in result.stderr
    assert not half.exists()


def test_changed_requirements_are_noticed(made):
    (made / "requirements.txt").write_text("# another one\n")
    assert "Installing" in tea(made, "manage", "hello").stderr
    stamp = json.loads((made / ".venv" / "tealeaves.json").read_text())
    assert set(stamp) >= {"requirements.txt", "python"}


def test_an_index_that_cannot_be_reached_is_one_sentence(made, tmp_path):
    folder = checkout(tmp_path / "checkout", "tealeaves-does-not-exist==1.0\n")
    shutil.copytree(made / ".venv", folder / ".venv", symlinks=True)
    quiet = dict.fromkeys(("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"), "")
    index = f"http://127.0.0.1:{free_port()}/simple"
    result = tea(folder, "up", PIP_INDEX_URL=index, PIP_CONFIG_FILE=os.devnull, PIP_RETRIES="1", **quiet)
    assert result.returncode == 1
    assert result.stdout == ""
    *_, last = result.stderr.strip().splitlines()
    assert last.startswith("tea: The package index cannot be reached")
    assert "Traceback" not in result.stderr


def test_an_unknown_option_is_refused_before_anything_is_made(tmp_path):
    folder = checkout(tmp_path / "checkout")
    result = tea(folder, "up", "--port", "many")
    assert result.returncode == 2
    assert "invalid int value: 'many'" in result.stderr
    assert not (folder / ".venv").exists()


def test_an_incomplete_checkout_is_one_sentence(tmp_path):
    folder = checkout(tmp_path / "checkout")
    (folder / "requirements.txt").unlink()
    result = tea(folder, "up")
    assert (result.returncode, result.stderr) == (
        1,
        "tea: requirements.txt is missing beside ./tea; is the checkout complete?\n",
    )


def test_it_parses_on_an_old_python():
    ast.parse(TEA.read_text(), feature_version=(3, 7))


def old_python() -> str | None:
    """The path of some Python that is too old; a shim that refuses is none."""
    for name in (f"python3.{minor}" for minor in range(6, 11)):
        if found := shutil.which(name):
            command = [found, "-c", "import sys; print(sys.executable)"]
            answer = subprocess.run(command, capture_output=True, text=True)
            if answer.returncode == 0:
                return answer.stdout.strip()
    return None


@pytest.mark.parametrize("is_real", [True, False], ids=["real", "pretended"])
def test_a_too_old_python_is_one_sentence(is_real, tmp_path):
    pretend = "import runpy, sys; sys.version_info = (3, 8, 1, 'final', 0); sys.argv = ['tea', 'up']; "
    command = [sys.executable, "-c", pretend + f"runpy.run_path({str(TEA)!r}, run_name='__main__')"]
    if is_real:
        found = old_python()
        if found is None:
            pytest.skip("no old Python here; the pretended one was tested")
        command = [found, str(TEA), "up"]
    result = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert result.returncode == 1
    assert "is too old: Tealeaves needs Python 3.11 or newer" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_newer_python_on_the_path_takes_over(tmp_path):
    folder = checkout(tmp_path / "checkout")
    (tmp_path / "bin").mkdir()
    newer = tmp_path / "bin" / "python3.12"
    newer.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    newer.chmod(0o755)
    pretend = "import runpy, sys; sys.version_info = (3, 8, 1, 'final', 0); sys.argv = ['tea', 'help']; "
    command = [sys.executable, "-c", pretend + f"runpy.run_path({str(folder / 'tea')!r}, run_name='__main__')"]
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.stdout.startswith("usage: ./tea COMMAND"), result.stderr


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "The disk is full"),
        ("OSError: [Errno 30] Read-only file system: '/x'", "cannot be written"),
        ("ERROR: No matching distribution found for torch==2.13.0", "has no torch==2.13.0 for Python"),
        ("noise\nERROR: Something else\n", "pip failed: ERROR: Something else"),
    ],
)
def test_what_pip_says_becomes_a_sentence(script, output, sentence):
    assert sentence in script.sentence_of(output, "pip failed")


@pytest.mark.parametrize(("code", "sentence"), [(errno.EROFS, "cannot be written"), (errno.ENOSPC, "The disk is full")])
def test_what_the_system_says_becomes_a_sentence(script, code, sentence):
    assert sentence in script.os_sentence(OSError(code, os.strerror(code), "/somewhere"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_checkout_is_one_sentence(tmp_path):
    folder = checkout(tmp_path / "checkout")
    folder.chmod(0o555)
    result = tea(folder, "up")
    folder.chmod(0o755)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "cannot be written" in result.stderr
