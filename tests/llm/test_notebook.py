"""docs/autolabel.md's notebook runs as it stands, from the first block to the last, against the tests' server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.llm.server import Server

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "autolabel.md"


def test_every_block_runs(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    namespace: dict[str, Any] = {"ADDRESS": server.url}
    server.tell(
        rules=[{"when": "oug, ded, vation, STA\nAnswer", "text": "these words have no shared semantic meaning."}]
    )
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), namespace)
    said = capsys.readouterr().out
    assert len(blocks) == 8
    assert "animals interpretable 'animals'" in said and "fragments not_interpretable ''" in said
    assert "'fragments': ('not_interpretable', 'yes')" in said
    assert "at most $0.000" in said and "pets\n" in said and "{tokns}" in said
