"""What a machine may lack, and what then happens: a skip with a sentence, or a failure under CI=true."""

from __future__ import annotations

import os

import pytest

from tests.support.services import MISSING, missing_parts

LEFT_OUT = "left out"


def under_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def require(part: str) -> None:
    if part not in missing_parts():
        return
    sentence = f"{part} is missing: {MISSING[part]}"
    if under_ci():
        pytest.fail(f"{sentence}; under CI=true that is a failure", pytrace=False)
    pytest.skip(f"{LEFT_OUT}: {sentence}")
