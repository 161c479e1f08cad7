"""The labels that the post's authors released, read from a folder in either of their two forms. No database.

- pairs: `verifier_mlp_in_gpt2_small_svd_prompts_outputs.json`, the labeler's answers as {"layer_0": {"singval_0":
  {"test_str": "tok, tok, …", "out_text": "most of these words …"}}}, and beside it the verifier's,
  `verifier_mlp_in_gpt2_small_verifier_svd_prompts_outputs.json`, in the same shape;
- merged: `small_mlp_in_text_outputs.json` as {"layer_0": {"direction_0": {"test_string", "response",
  "verifier_response"}}}, in the folder or in `json_data/` below it.

Any size (gpt2-xl too), any of the layers and directions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from labelapp.statistics.audits import MEANING, NO, NO_MEANING, UNPARSED, YES

JOINER = ", "
MOST_LAYERS = 1000
SIZES = ("small", "medium", "large", "xl")
_PAIR = re.compile(r"verifier_mlp_(?P<end>in|out)_gpt2_(?P<size>[a-z0-9]+)_svd_prompts_outputs\.json")
_MERGED = re.compile(r"(?P<size>[a-z0-9]+)_mlp_(?P<end>in|out)_text_outputs\.json")
_LAYER = re.compile(r"layer_(\d{1,4})")
_DIRECTION = re.compile(r"(?:singval|direction)_(\d{1,7})")

# The exemplars of the post's two prompts, as its text has them.
EXEMPLARS = tuple(
    tuple(line.split(JOINER))
    for line in (
        'the, ,, and, a, in, ., ", -, (, to, of, for, is, on, The',
        "past, oats, properties, blem, coins, enson, iliate, Alley, eatured, orial, upd, leck, hua, lat, pub",
        "mathemat, Iran, sophistic, methamphetamine, pty, trivia, sushi, disag, byter, etry, USB, homebrew, Mahjong, "
        "onel, Figure",
        "ogether, total, sole, so, otal, olute, yet, complete, all, apsed, identical, Valent, unconditional, yet, eneg",
        "Pupp, Dog, dog, kitten, puppy, dogs, Dog, Veter, puppies, kittens, veterinarian, cat, Dogs, Cat, Vet",
        "adding, ded, strat, union, oug, vation, Tele, Strat, ould, iership, older, cium, anc, STA, secondly",
        "balloons, balloon, Wind, feather, ray, flying, Wings, FAA, ream, Wind, Winged, egg, Balloon, Render, Render",
        "lost, missed, diminished, undone, vanished, feared, avoided, forgotten, hopeless, disappeared, fallen, "
        "removed, darkest, suspic, unavoid",
    )
)


class ReleasedError(ValueError):
    """A folder that does not hold released labels, or holds damaged ones; the message says what in one sentence."""


class Place(NamedTuple):
    """Where a direction stands: the model's size, the circuit, layer and index (tuples have a method of that name)."""

    size: str
    circuit: str
    layer: int
    number: int

    def __str__(self) -> str:
        return f"gpt2-{self.size}/{self.circuit}.{self.layer}/{self.number}+"


@dataclass(frozen=True)
class Entry:
    """What was released of one direction."""

    tokens: tuple[str, ...]
    answer: str
    verification: str


def released_read(folder: Path) -> dict[Place, Entry]:
    """All entries of a folder, in order. Raises ReleasedError."""
    if not folder.is_dir():
        raise ReleasedError(f"{folder} is no folder; give the one that holds the released files.")
    pairs, merged = _pairs(folder), _merged(folder)
    for place in pairs.keys() & merged.keys():
        if pairs[place] != merged[place]:
            raise ReleasedError(f"The two forms in {folder} disagree on {place}; remove the one that is wrong.")
    found = {**merged, **pairs}
    if not found:
        raise ReleasedError(
            f"{folder} holds no released labels: neither verifier_mlp_in_gpt2_SIZE_svd_prompts_outputs.json "
            "nor SIZE_mlp_in_text_outputs.json, with entries in them."
        )
    return {place: found[place] for place in sorted(found, key=_order)}


def _order(place: Place) -> tuple[int, Place]:
    """The smaller models first; sizes that nobody knows last, by name."""
    return (SIZES.index(place.size) if place.size in SIZES else len(SIZES)), place


def answer_verdict(answer: str) -> str:
    """The labeler's verdict by the post's rule."""
    text = answer.lower()
    if "no shared semantic meaning" in text or "no semantic meaning" in text:
        return NO_MEANING
    return MEANING if "these words" in text else UNPARSED


def verification_answer(text: str) -> str:
    """Yes or no; anything else is unparsed."""
    bare = text.strip().lower().rstrip(".")
    return bare if bare in (YES, NO) else UNPARSED


def _pairs(folder: Path) -> dict[Place, Entry]:
    found = {}
    for path, size, circuit in _files(folder, _PAIR):
        beside = path.with_name(path.name.replace("_svd_prompts", "_verifier_svd_prompts"))
        if not beside.is_file():
            raise ReleasedError(f"{beside.name} is missing beside {path.name}; it holds the verifier's answers.")
        labeler, verifier = dict(_entries(path)), dict(_entries(beside))
        for where in labeler.keys() ^ verifier.keys():
            has, lacks = (path, beside) if where in labeler else (beside, path)
            raise ReleasedError(f"{lacks.name} lacks {_named(where)}, which {has.name} holds.")
        for (layer, index), said in labeler.items():
            place = Place(size, circuit, layer, index)
            shown, checked = _text(path, place, said, "test_str"), verifier[layer, index]
            if _text(beside, place, checked, "test_str") != shown:
                raise ReleasedError(f"{beside.name} has other tokens than {path.name} for {place}.")
            found[place] = _entry(
                path, place, shown, _text(path, place, said, "out_text"), _text(beside, place, checked, "out_text")
            )
    return found


def _merged(folder: Path) -> dict[Place, Entry]:
    found: dict[Place, Entry] = {}
    for path, size, circuit in [*_files(folder, _MERGED), *_files(folder / "json_data", _MERGED)]:
        for (layer, index), said in _entries(path):
            place = Place(size, circuit, layer, index)
            texts = [_text(path, place, said, name) for name in ("test_string", "response", "verifier_response")]
            entry = _entry(path, place, *texts)
            if found.setdefault(place, entry) != entry:
                raise ReleasedError(f"{path.name} stands twice in {folder}, with other entries for {place}.")
    return found


def _files(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, str, str]]:
    """The files of a form with the size and circuit in their names."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if match := pattern.fullmatch(path.name):
                yield path, match["size"], f"mlp_{match['end']}"


def _entries(path: Path) -> Iterator[tuple[tuple[int, int], Mapping[str, Any]]]:
    """Layer, index and what stands there."""
    try:
        layers = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ReleasedError(f"{path.name} cannot be read: {error}.") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReleasedError(f"{path.name} is damaged, it is no JSON: {error}.") from None
    for layer_name, directions in _items(path, "the file", layers):
        layer = _numbered(path, _LAYER, layer_name, "layer_0")
        if layer >= MOST_LAYERS:
            raise ReleasedError(f"{path.name}: no model has a {layer_name}.")
        for name, said in _items(path, layer_name, directions):
            index = _numbered(path, _DIRECTION, name, "singval_0 or direction_0")
            if not isinstance(said, dict):
                raise ReleasedError(f"{path.name}: {layer_name}, {name} is no JSON object.")
            yield (layer, index), said


def _items(path: Path, what: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise ReleasedError(f"{path.name}: {what} is no JSON object, so these are not the released labels.")
    yield from value.items()


def _numbered(path: Path, pattern: re.Pattern[str], name: str, example: str) -> int:
    match = pattern.fullmatch(name)
    if not match:
        raise ReleasedError(f"{path.name}: {name[:50]!r} is not named like {example}.")
    return int(match[1])


def _text(path: Path, place: Place, said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str):
        raise ReleasedError(f"{path.name}: {place} has no text under {name!r}.")
    return value


def _entry(path: Path, place: Place, tokens: str, answer: str, verification: str) -> Entry:
    if not tokens.strip():
        raise ReleasedError(f"{path.name}: {place} has no tokens.")
    return Entry(tuple(tokens.split(JOINER)), answer, verification)


def _named(where: tuple[int, int]) -> str:
    return f"layer {where[0]}, index {where[1]}"
