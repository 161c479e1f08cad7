"""The trials of a test asked of a language model: a run of automated labelling, with its estimate, money and pacing."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.autolabel.asking import RunOptions
from labelapp.autolabel.models import PromptVersion, Run
from labelapp.autolabel.prompts import prompt_get
from labelapp.autolabel.providers import llm_get, price_get
from labelapp.autolabel.runs import Entry, Plan, run_start
from labelapp.autolabel.selection import EVERYTHING, RunSelection, model_of_project
from labelapp.jobs.models import OPEN
from labelapp.labelling.trials.drawing import READOUT_TOKENS
from labelapp.labelling.trials.models import AskedRun, ChoiceTest, Trial
from workers.llm.rendering import token_shown

PROMPT_KINDS = {
    ChoiceTest.Kind.INTRUSION: PromptVersion.Kind.INTRUDER,
    ChoiceTest.Kind.MATCHING: PromptVersion.Kind.MATCHER,
}
USUAL = {kind: f"{prompt}-few-shot-chat" for kind, prompt in PROMPT_KINDS.items()}


def choice_plan(test: ChoiceTest, llm: str, *, prompt: str = "", user: User | None = None) -> Plan:
    """All trials of a test, to be asked of `PROVIDER:MODEL` with a prompt's name (default: the ready-made one).

    Raises LlmError for a provider or prompt that there is not, ExportError for whoever may not use the project.
    """
    kind = ChoiceTest.Kind(test.kind)
    config, name = llm_get(llm.strip())
    version = prompt_get(prompt or USUAL[kind], PROMPT_KINDS[kind])
    slug = test.project.slug
    return Plan(
        RunSelection(model_of_project(slug, user), slug, EVERYTHING),
        labeler=None,
        verifier=None,
        config=config,
        llm=name,
        price=price_get(config, name),
        options=RunOptions(),
        user=user,
        detector=version,
        choices=list(_entries(test)),
    )


def choice_run_standing(test: ChoiceTest, plan: Plan) -> Run | None:
    """A run that asks the same of the same language model at this moment."""
    rows = AskedRun.objects.filter(
        test=test, run__detector=plan.detector, run__provider=plan.config.name, run__llm=plan.llm
    )
    asked = rows.filter(run__job__state__in=OPEN).select_related("run__job").order_by("-pk").first()
    return asked.run if asked else None


def choice_run_start(test: ChoiceTest, plan: Plan, *, budget: int | None = None) -> Run:
    """Start a run; where the same one is not over yet, that one is returned. Raises RunError for a bad budget."""
    with transaction.atomic():
        # Two clicks at once: the second one waits here and then finds the first one's run.
        ChoiceTest.objects.select_for_update().get(pk=test.pk)
        if standing := choice_run_standing(test, plan):
            return standing
        run = run_start(plan, budget=budget)
        AskedRun.objects.create(test=test, run=run)
    return run


def trial_of_variant(variant: str) -> int:
    """The trial that an item of such a run asked."""
    return int(variant)


def _entries(test: ChoiceTest) -> Iterator[Entry]:
    trials = list(Trial.objects.filter(test=test).order_by("position"))
    if test.kind == ChoiceTest.Kind.INTRUSION:
        for trial in trials:
            yield Entry(trial.direction_id, [], {"list": [token_shown(it) for it in trial.shown]}, str(trial.pk))
        return
    ids = {pk for trial in trials for pk in trial.shown}
    lines = {
        pk: ", ".join(token_shown(token) for token in tokens[:READOUT_TOKENS])
        for pk, tokens in Direction.objects.filter(pk__in=ids).values_list("pk", "tokens")
    }
    for trial in trials:
        asked = {"statement": trial.label, "list": [lines[pk] for pk in trial.shown]}
        yield Entry(trial.direction_id, [], asked, str(trial.pk))
