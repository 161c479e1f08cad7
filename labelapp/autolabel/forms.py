"""The form that plans a run of a language model: the words of `manage.py autolabel`, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.models import Model
from labelapp.atlas.selection import SelectionError
from labelapp.autolabel.models import PromptVersion
from labelapp.autolabel.providers import llm_get, price_get
from labelapp.autolabel.runs import Plan, RunError, budget_check, run_plan
from labelapp.autolabel.selection import SIDE_NAMES, RunSelection, model_of_project, run_selection_parse
from labelapp.exchange.subjects import ExportError, subjects_listed
from workers.llm.errors import LlmError, ProviderError
from workers.llm.prices import Price, money_parse, price_make
from workers.llm.providers import ProviderConfig

# The post's prompts, for chat: what is chosen until something else is.
USUAL = {"labeler": "labeler-few-shot-negative-chat", "verifier": "verifier-few-shot-chat"}
# Fields of the form by what they ask, for the template.
WHICH = ("circuits", "layers", "indices", "sides", "preprocessing", "basis", "control")
HELP = {
    "circuits": "like ov,mlp_in; empty: all",
    "layers": "like 0,5,9-11; empty: all",
    "indices": "like 0-29, by singular value; empty: all",
    "sides": f"{', '.join(SIDE_NAMES)}; empty: all",
    "preprocessing": "raw, folded or all",
    "basis": "svd, neuron, rotated, varimax; with a seed: rotated.3",
    "price_in": "for a million tokens of the prompts",
    "price_out": "for a million tokens of the answers",
    "budget": "empty: none",
    "control": "none, gaussian, covariance, shuffled, column_shuffled; with a seed: gaussian.3",
}
PLAIN = {"class": "mono", "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


if TYPE_CHECKING:
    PromptChoiceBase = forms.ModelChoiceField[PromptVersion]
else:
    PromptChoiceBase = forms.ModelChoiceField


class PromptChoice(PromptChoiceBase):
    """One of the prompt versions of a kind."""

    def label_from_instance(self, obj: PromptVersion) -> str:
        return f"{obj} ({obj.body.get('style', '')}, {obj.body.get('endpoint', '')})"


class RunForm(forms.Form):
    """`plan` and `limit` (its budget) are there once it is valid; `given` is a price that is to be remembered."""

    subject = forms.ChoiceField(
        label="Directions of",
        error_messages={
            "required": "Choose a model or a project.",
            "invalid_choice": "There is no such model or project; choose one of the list.",
        },
    )
    circuits = forms.CharField(label="Circuits", required=False, max_length=500)
    layers = forms.CharField(label="Layers", required=False, max_length=500)
    indices = forms.CharField(label="Indices", required=False, max_length=500)
    sides = forms.CharField(label="Sides", required=False, max_length=100)
    preprocessing = forms.CharField(label="Preprocessing", required=False, max_length=200)
    basis = forms.CharField(label="Basis", required=False, max_length=200)
    control = forms.CharField(label="Control", required=False, max_length=200)
    not_judged = forms.BooleanField(label="Only what this judge has not judged yet", required=False)
    labeler = PromptChoice(
        label="Labeler",
        queryset=PromptVersion.objects.none(),
        empty_label=None,
        error_messages={
            "required": "Choose a labeler prompt.",
            "invalid_choice": "There is no such labeler prompt; choose one of the list.",
        },
    )
    verifier = PromptChoice(
        label="Verifier",
        queryset=PromptVersion.objects.none(),
        required=False,
        empty_label="none: the labeler's word counts alone",
        error_messages={"invalid_choice": "There is no such verifier prompt; choose one of the list."},
    )
    provider = forms.ChoiceField(
        label="Provider",
        error_messages={
            "required": "Choose a provider.",
            "invalid_choice": "There is no such provider in this server's environment; choose one of the list.",
        },
    )
    llm = forms.CharField(
        label="Language model",
        max_length=300,
        error_messages={"required": "Name the language model, as its provider calls it."},
    )
    price_in = forms.CharField(label="Price in, in dollars", required=False, max_length=40)
    price_out = forms.CharField(label="Price out, in dollars", required=False, max_length=40)
    price_unknown = forms.BooleanField(label="Unknown: the run says no cost and keeps no budget", required=False)
    budget = forms.CharField(label="Budget, in dollars", required=False, max_length=40)

    def __init__(self, *args: Any, user: User, configs: Mapping[str, ProviderConfig], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.plan: Plan | None = None
        self.limit: int | None = None
        self.given: Price | None = None
        self._choice("subject").choices = _subjects(user)
        self._choice("provider").choices = [(name, name) for name in configs]
        for kind in (PromptVersion.Kind.LABELER, PromptVersion.Kind.VERIFIER):
            field = self.fields[kind.value]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = _versions(kind)
            usual = field.queryset.filter(name=USUAL[kind.value]).first()
            field.initial = usual.pk if usual else None
        for name, text in HELP.items():
            self.fields[name].help_text = text
        for name in (*WHICH, "llm", "price_in", "price_out", "budget"):
            self.fields[name].widget.attrs |= PLAIN
        self.fields["llm"].widget.attrs["list"] = "llms"
        for name in ("price_in", "price_out", "budget"):
            self.fields[name].widget.attrs |= {"inputmode": "decimal", "size": 8}

    @property
    def which(self) -> list[forms.BoundField]:
        """The fields that narrow a model or a project down."""
        return [self[name] for name in WHICH]

    @property
    def is_narrowed(self) -> bool:
        """Whether anything stands in them."""
        return any(field.value() for field in self.which)

    @property
    def typed(self) -> dict[str, str]:
        """What was typed, to be typed again."""
        return {name: value for name in self.fields if (value := self.data.get(name, ""))}

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        self.limit = self._money("budget", data.get("budget", ""))
        if self.errors:
            return data
        try:
            config, llm = llm_get(f"{data['provider']}:{data['llm']}")
        except ProviderError as error:
            raise forms.ValidationError({"llm": str(error)}) from None
        price = self._price(config, llm, data)
        try:
            plan = run_plan(
                selection=self._selection(data),
                labeler=data["labeler"],
                verifier=data["verifier"],
                config=config,
                llm=llm,
                user=self.user,
            )
        except (RunError, SelectionError, ExportError) as error:
            raise forms.ValidationError(str(error)) from None
        try:
            budget_check(self.limit, price, f"{config.name}:{llm}")
        except RunError as error:
            raise forms.ValidationError({"budget": str(error)}) from None
        self.plan = replace(plan, price=price)
        return data

    def _selection(self, data: Mapping[str, Any]) -> RunSelection:
        kind, _, name = data["subject"].partition(":")
        project = {"project": name, "truth": f"truth:{name}"}.get(kind, "")
        model = model_of_project(project, self.user) if project else Model.objects.get(pk=int(name))
        return run_selection_parse(model, project, data)

    def _price(self, config: ProviderConfig, llm: str, data: Mapping[str, Any]) -> Price | None:
        """What was given, else what is known, else None where it was said to be unknown."""
        named = [data["price_in"].strip(), data["price_out"].strip()]
        if data["price_unknown"]:
            if any(named):
                raise forms.ValidationError({"price_unknown": "Give a price or say that it is unknown, not both."})
            return None
        if any(named):
            if not all(named):
                raise forms.ValidationError({"price_in": "A price has two parts; give dollars for tokens in and out."})
            try:
                self.given = price_make(*named)
            except LlmError as error:
                raise forms.ValidationError({"price_in": str(error)}) from None
            return self.given
        known = price_get(config, llm)
        if known is None:
            raise forms.ValidationError(
                {"price_in": f"What {config.name}:{llm} costs is not known; give its price, or say that it is unknown."}
            )
        return known

    def _money(self, name: str, text: str) -> int | None:
        try:
            return money_parse(text) if text.strip() else None
        except LlmError as error:
            self.add_error(name, str(error))
            return None

    def _choice(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field


def _versions(kind: str) -> QuerySet[PromptVersion]:
    return PromptVersion.objects.filter(kind=kind).order_by("name", "-version")


def _subjects(user: User) -> list[Any]:
    """Models that hold directions, and the projects and ground-truth sets that the person may export."""
    models = [(f"model:{model.pk}", model.slug) for model in Model.objects.order_by("name", "pk")]
    projects = [(f"project:{slug}", name) for slug, name in subjects_listed("project", user)]
    truths = [(f"truth:{name}", title) for name, title in subjects_listed("truth", user)]
    groups = (("Models", models), ("Projects", projects), ("Ground-truth sets", truths))
    return [(name, choices) for name, choices in groups if choices]
