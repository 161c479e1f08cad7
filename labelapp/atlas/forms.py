"""Forms of the atlas: more of a model is asked for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin

from labelapp.atlas.keys import CIRCUITS_WITHOUT_LAYER, COMPUTED_BASES, CONTROLS, PREPROCESSINGS
from labelapp.atlas.models import Model
from labelapp.atlas.selection import ALL, NO_CONTROL, SelectionError, names_parse, selection_parse, variants_of
from labelapp.atlas.services import DIRECTIONS, Extent

MOST_DIGITS = 9


class DecomposeForm(forms.Form):
    """The same words as on the command line: lists with commas, seeds behind a dot."""

    circuits = forms.CharField(label="Circuits")
    layers = forms.CharField(label="Layers", initial=ALL)
    preprocessing = forms.CharField(label="Preprocessing", initial="raw")
    basis = forms.CharField(label="Basis", initial="svd")
    control = forms.CharField(label="Control", initial=NO_CONTROL)
    directions = forms.CharField(label="Vectors of each", initial=str(DIRECTIONS))

    HELP = {
        "circuits": "with commas",
        "layers": "like 0,5,9-11, or all",
        "preprocessing": ", ".join(PREPROCESSINGS),
        "basis": f"{', '.join(COMPUTED_BASES)}; with a seed: rotated.3",
        "control": f"{NO_CONTROL}, {', '.join(CONTROLS)}; with a seed: gaussian.3",
        "directions": "a number, or all",
    }

    def __init__(self, *args: Any, model: Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = model
        self.fields["circuits"].initial = ",".join(it for it in model.circuits if it not in CIRCUITS_WITHOUT_LAYER)
        for name, field in self.fields.items():
            field.help_text = self.HELP[name]
            field.widget.attrs |= {"class": "small mono", "size": 16, "autocomplete": "off", "spellcheck": "false"}

    def clean_directions(self) -> int | None:
        text = self.cleaned_data["directions"].strip()
        if text == ALL:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text)):
            raise forms.ValidationError("Give a number of vectors from 1, or all.")
        return int(text)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if self.errors:
            return data
        names = ("circuits", "layers", "preprocessing", "basis", "control")
        try:
            data["selection"] = selection_parse(self.model, **{name: data[name] for name in names})
            data["variants"] = variants_of(
                names_parse("preprocessing", data["preprocessing"], PREPROCESSINGS) or PREPROCESSINGS,
                names_parse("basis", data["basis"], COMPUTED_BASES) or COMPUTED_BASES,
                names_parse("control", data["control"], (NO_CONTROL, *CONTROLS)) or (NO_CONTROL, *CONTROLS),
            )
        except SelectionError as error:
            raise forms.ValidationError(str(error)) from None
        return data

    def order(self) -> dict[str, Any]:
        """The arguments of `decompose_more`; the form is valid."""
        selection = self.cleaned_data["selection"]
        return {
            "circuits": selection.circuits or tuple(self.model.circuits),
            "layers": selection.layers or range(self.model.n_layers),
            "extent": Extent(directions=self.cleaned_data["directions"]),
            "variants": self.cleaned_data["variants"],
        }


def may_decompose(user: AbstractBaseUser) -> bool:
    """Hours of computing are not everybody's to start; superusers may, and whoever was given the right."""
    return isinstance(user, PermissionsMixin) and user.has_perm("atlas.add_matrix")
