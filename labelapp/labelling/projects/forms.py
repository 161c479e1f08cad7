"""Forms of projects: what is drawn, and how it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from labelapp.atlas.keys import CONTROLS, PREPROCESSINGS
from labelapp.atlas.models import Model
from labelapp.atlas.selection import ALL, NO_CONTROL, SelectionError
from labelapp.judgements.models import Judge, Subject
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.projects.design import (
    ALLOCATIONS,
    KINDS,
    PROPORTIONAL,
    SIMPLE_RANDOM,
    STRATA,
    Design,
    design_check,
)
from labelapp.labelling.projects.exploration import CRITERIA
from labelapp.labelling.projects.selection import ALL_SIDES, SIGNS, item_selection_parse
from labelapp.labelling.projects.services import DEMO_GUIDELINES, TOKENS_SHOWN
from labelapp.labelling.subjects import CHOICES, guidelines_for, subject_design_check

GUIDELINES_LENGTH = 20_000
MOST_DRAWN = 1_000_000
MOST_SEED = 2**31 - 1
MOST_OVERLAP = 100
MATRICES = ("circuits", "layers", "preprocessing", "basis", "control")  # as in `selection_parse`
NARROWED = ("indices", "sides", "signs")


class MachineField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A machine judge; several may have one name, so their numbers stand with them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Judge.objects.exclude(type=Judge.Type.PERSON).order_by("pk"), **options)
        self.error_messages["invalid_choice"] = "There is no such machine judge; choose one from the list."

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.pk}: {obj.name}"


class JudgingForm(forms.Form):
    """What may be changed at any time."""

    name = forms.CharField(max_length=200, label="Name")
    overlap = forms.IntegerField(
        min_value=1, max_value=MOST_OVERLAP, initial=1, label="Overlap", help_text="How many people judge each item"
    )
    reveal = forms.BooleanField(
        required=False, initial=True, label="After one's own judgement, show those of others on the same item"
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name.isprintable():
            raise forms.ValidationError("The name holds characters that cannot be shown; write it in one line of text.")
        return name


class DraftForm(JudgingForm):
    """A project that is not open yet. The selection is written as on the command line."""

    subject = forms.ChoiceField(required=False, label="What is judged", choices=CHOICES, initial=Subject.DIRECTION)
    models = forms.ModelMultipleChoiceField(
        Model.objects.order_by("name", "pk"),
        label="Models",
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "Choose at least one model.",
            "invalid_choice": "There is no such model; choose from the list.",
            "invalid_pk_value": "There is no such model; choose from the list.",
        },
    )
    circuits = forms.CharField(initial=ALL, help_text="like ov,mlp_in")
    layers = forms.CharField(initial=ALL, help_text="like 0,5,9-11")
    indices = forms.CharField(initial=ALL, help_text="by singular value from 0, like 0-29")
    sides = forms.CharField(initial=ALL, help_text=", ".join(ALL_SIDES))
    signs = forms.ChoiceField(choices=[(ALL, "both"), *((sign, sign) for sign in SIGNS)])
    preprocessing = forms.CharField(initial=PREPROCESSINGS[0], help_text=", ".join(PREPROCESSINGS))
    basis = forms.CharField(initial="svd", help_text="svd, neuron, rotated.3; of imported features: dictionary")
    control = forms.CharField(
        label="Controls", initial=NO_CONTROL, help_text=f"{NO_CONTROL},gaussian mixes noise in; {', '.join(CONTROLS)}"
    )
    kind = forms.ChoiceField(label="Sample", choices=KINDS.items(), initial=SIMPLE_RANDOM)
    n = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_DRAWN,
        initial=200,
        label="How many",
        help_text="ends, vectors or matrices",
    )
    seed = forms.IntegerField(
        min_value=0, max_value=MOST_SEED, initial=1, label="Seed", help_text="The same one draws the same items"
    )
    strata = forms.ChoiceField(label="Strata", choices=STRATA.items())
    allocation = forms.ChoiceField(label="Allocation", choices=ALLOCATIONS.items(), initial=PROPORTIONAL)
    machine = MachineField(
        required=False, label="Machine judge", empty_label="none", help_text="for machine cells, Neyman, uncertainty"
    )
    ends = forms.ChoiceField(
        label="On the page",
        choices=[(Project.Ends.ONE, "one end at a time"), (Project.Ends.BOTH, "both ends of a vector")],
    )
    tokens_shown = forms.IntegerField(
        min_value=5,
        max_value=100,
        initial=TOKENS_SHOWN,
        label="Tokens shown",
        help_text="fewer where a readout has fewer",
    )

    def clean(self) -> dict[str, Any]:
        """Puts the `design` together."""
        data: dict[str, Any] = super().clean() or {}
        if self.errors:
            return data
        data["subject"] = data["subject"] or Subject.DIRECTION
        machine = data["machine"]
        try:
            selection = item_selection_parse(
                list(data["models"]), **{name: data[name] for name in (*MATRICES, *NARROWED)}
            )
            design = design_check(
                Design(
                    selection, data["kind"], data["n"], data["seed"], data["strata"], data["allocation"],
                    machine.digest if machine else "",
                )
            )  # fmt: skip
            data["design"] = subject_design_check(data["subject"], design)
        except (SelectionError, LabellingError) as error:
            raise forms.ValidationError(str(error)) from None
        return data

    def project_fields(self) -> dict[str, Any]:
        """The arguments of `project_redesign`; the form is valid."""
        names = ("design", "name", "subject", "overlap", "reveal", "ends", "tokens_shown")
        return {name: self.cleaned_data[name] for name in names}


class PercentField(forms.IntegerField):
    """A share, typed in per cent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=100, **options)

    def clean(self, value: Any) -> float:
        return float(super().clean(value)) / 100


class GuidelinesForm(forms.Form):
    """A version of the rubric. `after` is the version that was changed."""

    guidelines = forms.CharField(
        max_length=GUIDELINES_LENGTH, strip=True, label="Guidelines", widget=forms.Textarea({"rows": 14}),
        help_text="Markdown; HTML is shown as it is written",
    )  # fmt: skip
    threshold = PercentField(label="Threshold in %", help_text="The share of tokens that must fit")
    after = forms.IntegerField(widget=forms.HiddenInput, min_value=1, max_value=MOST_SEED)


class NewProjectForm(DraftForm):
    """A draft with its first guidelines."""

    guidelines = forms.CharField(
        max_length=GUIDELINES_LENGTH, strip=True, label="Guidelines", widget=forms.Textarea({"rows": 12}),
        initial=DEMO_GUIDELINES,
        help_text="Markdown; changed later, they become a new version. Left as they are, pairs and matrices get "
        "guidelines of their own",
    )  # fmt: skip
    threshold = PercentField(initial=70, label="Threshold in %", help_text="The share of tokens that must fit")

    def draft_fields(self) -> dict[str, Any]:
        """The arguments of `project_draft`, but for the owner; the form is valid."""
        data = self.cleaned_data
        guidelines = guidelines_for(data["subject"], data["guidelines"], DEMO_GUIDELINES)
        return self.project_fields() | {"guidelines": guidelines, "threshold": data["threshold"]}


class ExploreForm(forms.Form):
    """What is put into the exploration queue."""

    criterion = forms.ChoiceField(label="Where", choices=CRITERIA.items())
    machine = MachineField(label="Machine judge", empty_label=None)
    n = forms.IntegerField(min_value=1, max_value=10_000, initial=50, label="At most")


def draft_initial(project: Project, design: Design) -> dict[str, Any]:
    """What stands in the form of a draft."""
    selection, matrices = design.selection, design.selection.matrices
    lists: dict[str, Sequence[str] | Sequence[int]] = {
        "circuits": matrices.circuits,
        "layers": matrices.layers,
        "preprocessing": matrices.preprocessings,
        "basis": matrices.bases,
        "control": matrices.controls,
        "indices": selection.indices,
        "sides": selection.sides,
        "signs": selection.signs,
    }
    named = {model.slug: model.pk for model in Model.objects.all()}
    machine = Judge.objects.filter(digest=design.machine).first() if design.machine else None
    return {
        **{name: _typed(values) or ALL for name, values in lists.items()},
        **{name: getattr(project, name) for name in ("name", "subject", "overlap", "reveal", "ends", "tokens_shown")},
        **{name: getattr(design, name) for name in ("kind", "n", "seed", "strata", "allocation")},
        "models": [named[slug] for slug in selection.models if slug in named],
        "machine": machine.pk if machine else None,
    }


def _typed(values: Sequence[str] | Sequence[int]) -> str:
    """As somebody would type it: "0-2,7" or "ov,mlp_in"."""
    parts: list[list[str]] = []
    for before, value in zip([None, *values], values, strict=False):
        follows = isinstance(before, int) and isinstance(value, int) and value == before + 1
        if follows:
            parts[-1] = [parts[-1][0], str(value)]
        else:
            parts.append([str(value)])
    return ",".join("-".join(part) for part in parts)


def sentence(form: forms.Form) -> str:
    """The first thing that is wrong."""
    return str(next(iter(form.errors.values()))[0])
