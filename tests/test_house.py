"""The rules between the rooms, looked at where they take effect: in `sys.modules` of a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "openai", "sklearn", "statsmodels"}


def modules_after(statements: str, tmp_path) -> set[str]:
    code = f"{statements}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "", "TEALEAVES_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "labelapp.config.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_the_web_process_holds_no_engine(tmp_path):
    loaded = modules_after(
        "from labelapp.config.wsgi import application\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns",
        tmp_path,
    )
    assert "django" in loaded and not loaded & HEAVY


def test_a_worker_holds_no_engine_before_its_first_task(tmp_path):
    loaded = modules_after("from workers.celery import app\napp.loader.import_default_modules()", tmp_path)
    assert "celery" in loaded and not loaded & HEAVY


def test_a_run_of_a_language_model_needs_no_torch(tmp_path):
    """What the worker of the queue llm holds while it asks; with the client, which comes in with the first call."""
    loaded = modules_after(
        "import django; django.setup()\n"
        "from workers.celery import app\napp.loader.import_default_modules()\n"
        "from workers.llm.client import client_open\nfrom workers.llm.providers import ProviderConfig\n"
        "client_open(ProviderConfig('x', base_url='http://localhost:1/v1'))",
        tmp_path,
    )
    assert "openai" in loaded and not loaded & {"torch", "transformers", "sklearn", "statsmodels", "scipy"}


def test_the_engine_knows_no_django(tmp_path):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "workers" / "weights").rglob("*.py")
    ]
    loaded = modules_after("\n".join(f"import {module}" for module in modules), tmp_path)
    assert "torch" in loaded and not loaded & {"django", "labelapp", "celery"}


def test_language_models_need_neither_django_nor_a_client(tmp_path):
    modules = [f"workers.llm.{path.stem}" for path in (ROOT / "workers" / "llm").glob("[!_]*.py")]
    loaded = modules_after("\n".join(f"import {module}" for module in modules), tmp_path)
    assert len(modules) > 10 and not loaded & {"django", "labelapp", "celery", "redis", "httpx2", *HEAVY}


def test_a_client_brings_no_django_and_no_engine(tmp_path):
    opened = """
import asyncio
from workers.llm.client import client_open
from workers.llm.providers import ProviderConfig
async def main(): await client_open(ProviderConfig("a", base_url="http://127.0.0.1:9/v1")).close()
asyncio.run(main())
"""
    loaded = modules_after(opened, tmp_path)
    assert "openai" in loaded and not loaded & {"django", "labelapp", "torch", "transformers", "numpy"}


@pytest.mark.parametrize("path", [ROOT / "workers" / "__init__.py"])
def test_workers_init_stays_empty(path):
    assert path.read_text() == ""
