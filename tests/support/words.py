"""A made-up vocabulary with all that a tokenizer can hold."""

from __future__ import annotations

from random import Random

from tests.factories import ODD_TOKENS


def vocabulary(n: int = 2400) -> list[str]:
    """Made-up words with their variants, numbers, signs, another script, and odd tokens among them."""
    rng = Random(7)
    words = [""] * n
    for place in range(n):
        kind = rng.random()
        if kind < 0.03:
            words[place] = ODD_TOKENS[place % len(ODD_TOKENS)]
        elif kind < 0.08:
            words[place] = str(int(rng.random() * 10 ** (1 + int(rng.random() * 4))))
        elif kind < 0.11:
            words[place] = "".join("+-*/!?()[]"[int(rng.random() * 10)] for _ in range(1 + int(rng.random() * 3)))
        elif kind < 0.3 and place:
            bare = words[int(rng.random() * place)].strip() or "x"
            forms = (bare, " " + bare, bare.upper(), bare.title(), bare + "s", " " + bare + "ing")
            words[place] = forms[int(rng.random() * len(forms))]
        else:
            letters = "абвгдежзик" if kind > 0.97 else "bcdfghjklmnprtaeiou"
            word = "".join(letters[int(rng.random() * len(letters))] for _ in range(2 + int(rng.random() * 6)))
            words[place] = (" " if rng.random() < 0.6 else "") + (word.title() if rng.random() < 0.2 else word)
    return words
