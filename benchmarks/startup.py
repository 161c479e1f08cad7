"""How long the web process takes to start, how much memory it holds, and that no engine is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import ROOT, Bench, paired

ENGINES = ("torch", "transformers", "openai")
# What a web process does before its first request, then what it holds.
WEB = f"""
import sys
from labelapp.config.wsgi import application
from django.urls import get_resolver
get_resolver().url_patterns
peak = [line for line in open("/proc/self/status") if line.startswith("VmRSS")] if sys.platform == "linux" else []
kilobytes = int(peak[0].split()[1]) if peak else __import__("resource").getrusage(0).ru_maxrss // 1024
print(kilobytes, ",".join(name for name in {ENGINES!r} if name in sys.modules))
"""


def run(bench: Bench) -> None:
    bench.libraries += ["Django", "celery", "numpy"]
    with tempfile.TemporaryDirectory() as data:
        (Path(data) / "static").mkdir()
        environment = {**os.environ, "TEALEAVES_DATA": data, "DJANGO_SETTINGS_MODULE": "labelapp.config.settings"}

        def python(code: str) -> str:
            command = [sys.executable, "-c", code]
            return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

        times = paired(lambda: python("pass"), lambda: python(WEB))
        kilobytes, engines = python(WEB).rstrip("\n").split(" ")
    bare, web = times.medians
    bench.table(
        ["process", "seconds (median of 7)", "resident MB"],
        [["bare Python", bare, "–"], ["web, ready for a request", web, f"{int(kilobytes) / 1024:.0f}"]],
    )
    bench.note(f"Engines imported by the web process: {engines or 'none'}.")
    bench.at_most("web_start_over_python", times.difference, "s", 2.0)
    bench.at_most("web_memory", int(kilobytes) / 1024, "MB", 150)
    bench.at_most("web_engines", len([name for name in engines.split(",") if name]), "modules", 0)
