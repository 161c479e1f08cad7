"""What comes from the review's pages, as data."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.http import QueryDict

from labelapp.review.truth import DEFAULT_HELD_OUT, NAME_LENGTH
from labelapp.review.truth_rules import KINDS

MOST_DIGITS = 18  # of an id: what the database's integers hold


@dataclass(frozen=True)
class Decision:
    """What a reviewer sent, valid or not."""

    verdict: str = ""
    label: str = ""
    reason: str = ""
    standing: int | None = None
    proposal: str = ""


def decision_of(sent: QueryDict) -> Decision:
    """What a decision may be is the service's to say."""
    standing = sent.get("standing", "")
    is_number = standing.isascii() and standing.isdigit() and len(standing) <= MOST_DIGITS
    return Decision(
        sent.get("verdict", ""),
        sent.get("label", ""),
        sent.get("reason", ""),
        int(standing) if is_number else None,
        sent.get("proposal", ""),
    )


class FreezeForm(forms.Form):
    """A version of a ground-truth set; seed and share are those of the name's first version where they are left out."""

    name = forms.CharField(max_length=NAME_LENGTH, label="Name", help_text="Small letters, digits and hyphens.")
    rule = forms.ChoiceField(choices=[(kind.name, kind.title) for kind in KINDS.values()], label="What belongs to it")
    people = forms.IntegerField(
        required=False, initial=2, label="People who must agree", help_text="Where people's agreement counts."
    )
    posterior = forms.FloatField(
        required=False, initial=0.9, label="Posterior to pass", help_text="Where an aggregation counts, 0.5 to 1."
    )
    held_out = forms.FloatField(
        required=False,
        label="Share held out",
        help_text=f"{DEFAULT_HELD_OUT} where left out; every version of a name has the split of its first.",
    )
    seed = forms.IntegerField(required=False, label="Seed of the split", help_text="0 where left out.")

    def sentence(self) -> str:
        """The first thing that is wrong."""
        name, errors = next(iter(self.errors.items()))
        return f"{self.fields[name].label}: {next(iter(errors))}"
