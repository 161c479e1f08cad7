"""The labels that the post's authors released, and the human truth that KNOWN_ANSWERS simulates on them."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpt3-labels"
SIZES = (("small", 12), ("medium", 24), ("large", 36))


@cache
def released():
    """Labeler and verifier as booleans over the 4,320 directions: size, in or out, layer, index."""
    if not RELEASED.is_dir():
        pytest.skip(f"the released labels are not here ({RELEASED}); they are not ours to include")
    labeler, verifier = [], []
    for size, layers in SIZES:
        for end in ("in", "out"):
            stem = f"verifier_mlp_{end}_gpt2_{size}"
            said = _texts(f"{stem}_svd_prompts_outputs.json", layers)
            checked = _texts(f"{stem}_verifier_svd_prompts_outputs.json", layers)
            labeler += [_names_a_meaning(text) for text in said]
            verifier += [text.strip().lower().startswith("yes") for text in checked]
    return np.array(labeler), np.array(verifier)


def simulated_humans(labeler, verifier):
    """A human verdict on all, by a known chance in each cell, and the places of 100 directions drawn at random."""
    likely = np.where(verifier, np.where(labeler, 0.80, 0.10), 0.35)
    human = np.random.default_rng(7).random(4320) < likely
    return human, np.random.default_rng(23).choice(4320, 100, replace=False)


def _texts(name, layers):
    found = json.loads(next(RELEASED.rglob(name)).read_text())
    return [found[f"layer_{i}"][f"singval_{j}"]["out_text"] for i in range(layers) for j in range(30)]


def _names_a_meaning(text):
    words = text.lower()
    return not any(none in words for none in ("no shared semantic meaning", "no semantic meaning"))
