"""Made-up files in the two forms of the released labels, so that no test needs other people's data."""

from __future__ import annotations

import json

# tokens, the labeler's answer, the verifier's
ANIMALS = ("Dog, dog, ,, cat", "most of these words relate to animals.", "yes")
VERBS = ("run, ran, go, went", "most of these words are verbs.", "yes")
CUT = ("one, two, blem, oats", "most of these words are related to the number of a", "no")
NOTHING = ("past, oats, blem, hua", "these words have no shared semantic meaning", "yes")
REFUSED = ("ain, Jr, gri, ieu", "these words have no shared semantic meaning.", "no")
ODD = ("a, b, c, d", "most of these words are letters.", "a group \nanswer")
ALL = [ANIMALS, VERBS, CUT, NOTHING, REFUSED, ODD]


def pairs_write(folder, size="small", end="in", layers=None):
    """`layers` maps a layer's number to its entries (by default all of them in layers 0 and 1)."""
    layers = layers if layers is not None else {0: ALL, 1: ALL[:2]}
    folder.mkdir(exist_ok=True)
    for role, column in (("", 1), ("verifier_", 2)):
        content = {
            f"layer_{layer}": {
                f"singval_{n}": {"test_str": said[0], "out_text": said[column]} for n, said in enumerate(entries)
            }
            for layer, entries in layers.items()
        }
        name = f"verifier_mlp_{end}_gpt2_{size}_{role}svd_prompts_outputs.json"
        (folder / name).write_text(json.dumps(content))
    return folder


def merged_write(folder, size="small", end="in", layers=None):
    layers = layers if layers is not None else {0: ALL, 1: ALL[:2]}
    folder.mkdir(exist_ok=True)
    content = {
        f"layer_{layer}": {
            f"direction_{n}": {"test_string": said[0], "response": said[1], "verifier_response": said[2]}
            for n, said in enumerate(entries)
        }
        for layer, entries in layers.items()
    }
    (folder / f"{size}_mlp_{end}_text_outputs.json").write_text(json.dumps(content))
    return folder
