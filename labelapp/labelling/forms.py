"""What comes from the labelling page, as data. What an answer may be is the services' to say."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.http import QueryDict
from django.utils.text import Truncator

from labelapp.judgements.models import Kind, Reason
from labelapp.labelling.cards import Entry

SECONDS_AT_MOST = 24 * 3600.0
PLACES = 1000  # more tokens than any page shows
SENTENCE_LENGTH = 300


def is_place(value: str) -> bool:
    """Whether it is a token's place from 0, as the page sends it."""
    return value.isascii() and value.isdigit() and len(value) < len(str(PLACES))


class PlacesField(forms.TypedMultipleChoiceField):
    """Places of tokens. Choices in a list would be copied with the form, a thousand for each answer."""

    def valid_value(self, value: str) -> bool:
        return is_place(value)


class AnswerForm(forms.Form):
    """`misfit` comes once for each marked token, with its place from 0."""

    verdict = forms.CharField(error_messages={"required": "Choose a verdict; unsure is one."})
    label = forms.CharField(required=False, strip=True)
    second_label = forms.CharField(required=False, strip=True)  # of a pair
    kind = forms.ChoiceField(
        required=False,
        choices=[("", "no kind"), *Kind.choices],
        error_messages={"invalid_choice": "%(value)s is not a kind; choose one from the list."},
    )
    reason = forms.ChoiceField(
        required=False,
        choices=[("", "no reason"), *Reason.choices],
        error_messages={"invalid_choice": "%(value)s is not a reason; choose one from the list."},
    )
    misfit = PlacesField(
        required=False,
        coerce=int,
        error_messages={"invalid_choice": "%(value)s is not the place of a token; reload the page."},
    )
    seconds = forms.Field(required=False)
    # How many of the person's own answers the page knew of.
    seen = forms.Field(required=False)

    def clean_seconds(self) -> float | None:
        """A clock that cannot be right says nothing; it never costs an answer."""
        try:
            seconds = float(self.cleaned_data["seconds"])
        except (TypeError, ValueError):
            return None
        return seconds if 0 <= seconds <= SECONDS_AT_MOST else None

    def clean_seen(self) -> int | None:
        """None where the page did not say."""
        seen = str(self.cleaned_data["seen"] or "")
        return int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 6 else None

    def answer(self) -> dict[str, Any]:
        """The arguments of `item_judge`; the form is valid."""
        data = self.cleaned_data
        return {
            "verdict": data["verdict"],
            "label": data["label"],
            "second_label": data["second_label"],
            "kind": data["kind"],
            "reason": data["reason"],
            "misfits": data["misfit"],
            "seconds": data["seconds"],
            "seen": data["seen"],
        }

    def entry(self) -> Entry:
        """What was entered, valid or not, to be shown again; the verdict is to be given anew."""
        sent = cast(QueryDict, self.data)
        places = [int(value) for value in sent.getlist("misfit") if is_place(value)]
        label, second_label = (
            "".join(character for character in self.data.get(name, "") if character.isprintable())
            for name in ("label", "second_label")
        )
        return Entry("", label, second_label, self.data.get("kind", ""), self.data.get("reason", ""), places)

    def sentence(self) -> str:
        """The first thing that is wrong. It may quote what was sent, which may be long."""
        return Truncator(str(next(iter(self.errors.values()))[0])).chars(SENTENCE_LENGTH)
