"""What is known of a model before any of its weights are read."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """One checkpoint of a transformer.

    ``name`` is a suggested slug for keys, ``source`` what the user gave. ``revision`` is short: seven hex
    digits of the commit for a hub model, of ``weights_hash`` for a folder. ``weights_hash`` is a sha256 of
    the content of the weights' files and of the sizes by which they are cut into heads, so equal hashes mean
    equal matrices. ``tied`` says that the unembedding is the embedding. ``circuits`` are those that can be
    decomposed here; of them ``embed`` and ``unembed`` belong to no layer. ``rotary`` says that the model turns
    queries and keys by their position, so that ``qk`` is what holds at distance 0.
    """

    name: str
    source: str
    revision: str
    architecture: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    vocab_size: int
    tied: bool
    circuits: tuple[str, ...]
    weights_hash: str
    rotary: bool = False


def model_slug(name: str) -> str:
    """The form of a model's name that stands in keys: lower case, ``/`` as ``--``, only ``a-z 0-9 . _ -``.

    >>> model_slug("meta-llama/Llama-3.2-1B")
    'meta-llama--llama-3.2-1b'
    """
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.strip().lower().replace("/", "--"))
    return slug.strip("-.") or "model"
