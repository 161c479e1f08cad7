"""Forms of tests: what is tested, and which language model is asked."""

from __future__ import annotations

from typing import Any

from django import forms

from labelapp.autolabel.models import PromptVersion
from labelapp.autolabel.providers import REPLAY
from labelapp.judgements.models import Judge, Judgement
from labelapp.labelling.models import Project
from labelapp.labelling.projects.forms import MOST_SEED
from labelapp.labelling.trials.machines import PROMPT_KINDS, USUAL
from labelapp.labelling.trials.models import ChoiceTest
from labelapp.labelling.trials.services import ENDS, PEOPLE, TRIALS, TRIALS_MOST
from workers.llm.errors import LlmError
from workers.llm.prices import money_parse

# A request draws them while somebody waits; the command draws more.
ENDS_ON_PAGE = 500


class StartForm(forms.Form):
    """A test over a project's sample."""

    kind = forms.ChoiceField(choices=ChoiceTest.Kind.choices, error_messages={"invalid_choice": "Choose a test."})
    ends = forms.IntegerField(
        min_value=1, max_value=ENDS_ON_PAGE, initial=ENDS, label="Ends", help_text="drawn from the sample, by vectors"
    )
    trials = forms.IntegerField(
        min_value=1,
        max_value=TRIALS_MOST,
        initial=TRIALS,
        label="Trials of an end",
        help_text="each drawn anew, each for one person",
    )
    seed = forms.IntegerField(min_value=0, max_value=MOST_SEED, initial=0, label="Seed")
    labels = forms.ChoiceField(required=False, label="Whose labels are matched")

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data)
        self.fields["labels"].choices = [(PEOPLE, "people's, of this project"), *machines_with_labels(project)]  # type: ignore[attr-defined]

    def clean_labels(self) -> str:
        return self.cleaned_data["labels"] or PEOPLE


class AskForm(forms.Form):
    """A language model that answers all trials."""

    llm = forms.CharField(
        max_length=400, label="Language model", help_text="provider:model", widget=forms.TextInput({"class": "mono"})
    )
    prompt = forms.ChoiceField(required=False, label="Prompt")
    budget = forms.CharField(max_length=40, required=False, label="Budget in dollars", help_text="empty: no limit")

    def __init__(self, data: Any = None, *, test: ChoiceTest) -> None:
        super().__init__(data)
        kind = ChoiceTest.Kind(test.kind)
        versions = PromptVersion.objects.filter(kind=PROMPT_KINDS[kind]).order_by("name", "-version")
        names = [str(it) for it in versions]
        self.fields["prompt"].choices = [("", f"the usual one, {USUAL[kind]}"), *zip(names, names, strict=True)]  # type: ignore[attr-defined]

    def clean_llm(self) -> str:
        text: str = self.cleaned_data["llm"].strip()
        if text.partition(":")[0] == REPLAY:
            # It reads a file of the server by its path.
            raise forms.ValidationError("Recorded answers are for the command line; name a provider and its model.")
        return text

    def clean_budget(self) -> int | None:
        text: str = self.cleaned_data["budget"].strip()
        try:
            return money_parse(text, zero=True) if text else None
        except LlmError as error:
            raise forms.ValidationError(str(error)) from None


def machines_with_labels(project: Project) -> list[tuple[str, str]]:
    """Machine judges that have a label standing on one of the project's items: id and name."""
    named = Judgement.objects.filter(current=True, direction__items__project=project).exclude(label="")
    ids = named.exclude(judge__type=Judge.Type.PERSON).order_by().values("judge").distinct()
    return [(str(pk), f"{pk}: {name}") for pk, name in Judge.objects.filter(pk__in=ids).values_list("pk", "name")]
