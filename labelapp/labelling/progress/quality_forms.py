"""Forms of what is mixed in, and of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from labelapp.judgements.models import Judge
from labelapp.labelling.checks.models import CheckMix
from labelapp.labelling.checks.services import LEAST_DISTANCE, MOST_DISTANCE, MOST_SHARE
from labelapp.labelling.controls import StoredControl

GOLD_LENGTH = 2_000_000
MOST_PERCENT = round(100 * MOST_SHARE)


class ShareField(forms.IntegerField):
    """A share of what lies before a person, typed in per cent; empty is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=MOST_PERCENT, required=False, **options)

    def clean(self, value: Any) -> float:
        return float(super().clean(value) or 0) / 100


class MixForm(forms.Form):
    """What is mixed in; the controls are those that are stored."""

    gold_share = ShareField(label="Gold in %", help_text="items whose answer is known")
    control_share = ShareField(label="Controls in %", help_text="noise of the same models")
    repeat_share = ShareField(label="Repeats in %", help_text="one's own earlier items once more")
    controls = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": "No control %(value)s is stored for this project's models."},
    )
    distance = forms.IntegerField(
        min_value=LEAST_DISTANCE, max_value=MOST_DISTANCE, initial=20, label="Distance",
        help_text="answers between an item and its repeat, at least",
    )  # fmt: skip
    own_shown = forms.BooleanField(required=False, label="Annotators see their own quality")

    def __init__(self, stored: Sequence[StoredControl], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["controls"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(it.name, it.name) for it in stored]


def mix_initial(mix: CheckMix) -> dict[str, Any]:
    """What stands in the form."""
    shares = {name: round(100 * getattr(mix, name)) for name in ("gold_share", "control_share", "repeat_share")}
    return shares | {"controls": mix.controls, "distance": mix.distance, "own_shown": mix.own_shown}


class GoldForm(forms.Form):
    """Known verdicts, typed or in a file."""

    rows = forms.CharField(
        required=False, max_length=GOLD_LENGTH, label="Known verdicts",
        widget=forms.Textarea({"rows": 6, "placeholder": "gpt2/ov.0.0/1+, interpretable, animals"}),
        help_text="One a line: a key, a verdict, a label if you like",
    )  # fmt: skip
    file = forms.FileField(required=False, label="Or a file of such lines")

    def clean(self) -> dict[str, Any]:
        """Puts the `text` together."""
        data: dict[str, Any] = super().clean() or {}
        upload = data.get("file")
        text = data.get("rows", "")
        if upload is not None:
            if upload.size > GOLD_LENGTH:
                raise forms.ValidationError(f"The file is larger than {GOLD_LENGTH:,} bytes.")
            try:
                text += "\n" + upload.read().decode()
            except UnicodeDecodeError:
                raise forms.ValidationError("The file is no text in UTF-8.") from None
        data["text"] = text
        return data


class PlanForm(forms.Form):
    """What interval is wanted."""

    half_width = forms.FloatField(
        min_value=0.5, max_value=49, initial=5, label="± points", help_text="half the interval's width, in %"
    )
    confidence = forms.TypedChoiceField(
        choices=[(90, "90 %"), (95, "95 %"), (99, "99 %")], coerce=int, initial=95, label="Confidence",
        error_messages={"invalid_choice": "The confidence is 90, 95 or 99 per cent."},
    )  # fmt: skip
    share = forms.FloatField(
        required=False, min_value=0.1, max_value=99.9, label="Expected share in %",
        help_text="empty: as people say so far",
    )  # fmt: skip
    machine = forms.ModelChoiceField(
        Judge.objects.none(), required=False, label="Machine judge", empty_label="none",
        error_messages={"invalid_choice": "This machine has judged nothing that people judged here."},
    )  # fmt: skip
    about = forms.ChoiceField(
        choices=[("census", "these directions"), ("population", "directions like these")], initial="census",
        label="The figure is about", help_text="these: with the finite-population correction",
    )  # fmt: skip

    def __init__(self, machines: Sequence[Judge], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["machine"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Judge.objects.filter(pk__in=[it.pk for it in machines])
        if machines:
            field.initial = machines[0].pk
