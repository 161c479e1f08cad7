import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labelapp.atlas.selection import SelectionError, selection_arguments_add
from labelapp.atlas.selectors import NotStoredError, model_get
from labelapp.autolabel.estimate import Estimate
from labelapp.autolabel.follow import COMMAND, run_follow
from labelapp.autolabel.models import Run
from labelapp.autolabel.prompts import prompt_get
from labelapp.autolabel.providers import llm_get, price_give
from labelapp.autolabel.runs import (
    Plan,
    budget_check,
    failed_again,
    plan_count,
    plan_estimate,
    run_plan,
    run_resume,
    run_start,
)
from labelapp.autolabel.selection import RunSelection, model_of_project, run_selection_parse
from labelapp.autolabel.services import baseline_run_start
from labelapp.exchange.subjects import ExportError
from labelapp.jobs.control import job_cancel, job_pause
from labelapp.jobs.follow import job_follow
from labelapp.jobs.models import ACTIVE
from labelapp.jobs.services import JobError
from workers.llm.errors import LlmError
from workers.llm.prices import dollars, money_parse, price_make

BASELINE = "baseline"
# On a run that exists, instead of a selection.
ON_RUNS = ("resume", "retry_failed", "pause", "cancel")
USER_ERRORS = (JobError, LlmError, SelectionError, NotStoredError, ExportError)


class Command(BaseCommand):
    help = (
        "Let a language model judge directions: a labeler prompt names them, a verifier prompt checks the names. "
        "Says first what it will cost, and asks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_argument_group("which directions")
        what.add_argument("--project", help="a project's short name, as in its pages' addresses")
        what.add_argument("--model", help="a model's name, as in keys")
        selection_arguments_add(parser)
        # A project holds what was put into it; a model stands for its own weights unless others are named.
        parser.set_defaults(preprocessing=None, basis=None, control=None)
        parser.add_argument("--controls", dest="control", help="the same as --control")
        parser.add_argument("--indices", default="", help="like 0-29 (default: all)")
        parser.add_argument("--sides", default="", help="like write or read,write (default: all)")
        parser.add_argument("--not-judged", action="store_true", help="only what this judge has not judged yet")
        who = parser.add_argument_group("who judges")
        who.add_argument("--labeler", help="a labeler prompt's name, or NAME@VERSION (manage.py prompts lists them)")
        who.add_argument("--verifier", help="a verifier prompt's name; without one the labeler's word counts alone")
        who.add_argument(
            "--llm", help="PROVIDER:MODEL, baseline (the offline one), or replay:FILE with recorded answers"
        )
        money = parser.add_argument_group("money")
        money.add_argument("--budget", help="in dollars; it is never passed, the run pauses before")
        money.add_argument("--price-in", help="dollars for a million tokens of the prompt, where it is not known")
        money.add_argument("--price-out", help="the same for the answer")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        on_runs = parser.add_argument_group("a run that there is")
        on_runs.add_argument("--resume", type=int, metavar="RUN", help="go on with a paused run, or watch one at work")
        on_runs.add_argument("--retry-failed", type=int, metavar="RUN", help="ask about its failed items again")
        on_runs.add_argument("--pause", type=int, metavar="RUN")
        on_runs.add_argument("--cancel", type=int, metavar="RUN")

    def handle(self, *args: Any, **options: Any) -> None:
        named = [name for name in ON_RUNS if options[name] is not None]
        try:
            if len(named) > 1:
                raise JobError(f"Give one of --{', --'.join(name.replace('_', '-') for name in ON_RUNS)} at a time.")
            if named:
                getattr(self, named[0])(run_get(options[named[0]]), options)
            elif options["llm"] == BASELINE:
                self._baseline(options)
            else:
                self._start(options)
        except USER_ERRORS as error:
            raise CommandError(str(error)) from None

    # A run that there is

    def resume(self, run: Run, options: dict[str, Any]) -> None:
        budget = money_parse(options["budget"]) if options["budget"] else None
        if not run_resume(run, budget=budget) and run.job.state not in ACTIVE:
            raise JobError(f"Run {run.pk} is {run.job.state}: there is nothing to go on with.")
        self._follow(run)

    def retry_failed(self, run: Run, options: dict[str, Any]) -> None:
        n = failed_again(run)
        self.stdout.write(f"{n} directions are asked about again.")
        self._follow(run)

    def pause(self, run: Run, options: dict[str, Any]) -> None:
        if not job_pause(run.job, "Paused on the command line."):
            raise JobError(f"Run {run.pk} is {run.job.state} and cannot be paused.")
        self.stdout.write(f"Run {run.pk} pauses: calls under way are finished. `{COMMAND} --resume {run.pk}` goes on.")

    def cancel(self, run: Run, options: dict[str, Any]) -> None:
        if not job_cancel(run.job):
            raise JobError(f"Run {run.pk} is {run.job.state} already.")
        self.stdout.write(f"Run {run.pk} is cancelled; what was answered is kept, and is not paid for again.")

    # A new one

    def _baseline(self, options: dict[str, Any]) -> None:
        if not options["model"]:
            raise JobError("The offline baseline judges a model's directions; name it with --model.")
        for name in ("labeler", "verifier", "budget", "indices", "sides"):
            if options[name]:
                raise JobError(f"The offline baseline takes no --{name}: it reads whole matrices and no words.")
        model = model_get(options["model"])
        run = baseline_run_start(model=model, selection=run_selection_parse(model, "", options).matrices)
        job_follow(run.job)
        self.stdout.write(self.style.SUCCESS(f"Run {run.pk} is done."))

    def _start(self, options: dict[str, Any]) -> None:
        plan = _plan(options)
        budget = money_parse(options["budget"], zero=True) if options["budget"] else None
        budget_check(budget, plan.price, f"{plan.config.name}:{plan.llm}")
        n = plan_count(plan)
        with tqdm(total=n, unit=" directions", desc="Counting calls", disable=None, leave=False) as bar:
            estimate = plan_estimate(plan, bar.update)
        self.stdout.write(estimate_words(plan, estimate, budget))
        if estimate.calls and not options["yes"] and not is_wanted():
            raise CommandError("Nothing was asked and nothing was spent.")
        run = run_start(plan, budget=budget)
        self.stdout.write(f"Run {run.pk} has started.")
        self._follow(run)

    def _follow(self, run: Run) -> None:
        self.stdout.write(self.style.SUCCESS(run_follow(run)))


def is_wanted() -> bool:
    """Ask whether to start. Raises CommandError where nobody is there to answer."""
    if not sys.stdin.isatty():
        raise CommandError("Nobody is there to say yes; give --yes to start without being asked.")
    return input("Start? [y/N] ").strip().lower() in ("y", "yes")


def estimate_words(plan: Plan, estimate: Estimate, budget: int | None) -> str:
    """What a run will take, as it is told before it starts."""
    lines = [
        f"{estimate.directions:,} directions: {plan.selection.words}",
        f"judged by  {plan.title}",
        f"calls      {estimate.calls:,}"
        + (f" ({estimate.stored:,} more are answered already)" * bool(estimate.stored)),
        f"tokens     about {estimate.prompt_tokens:,} in prompts, at most {estimate.completion_tokens:,} in answers",
    ]
    if estimate.cost is None or estimate.most is None:
        lines.append("price      unknown; --price-in and --price-out give it")
    else:
        lines.append(f"price      about {dollars(estimate.cost)}, at most {dollars(estimate.most)}")
    if budget is not None:
        lines.append(f"budget     {dollars(budget)}; the run pauses before it would pass it")
    return "\n".join(lines)


def _plan(options: dict[str, Any]) -> Plan:
    if bool(options["project"]) == bool(options["model"]):
        raise JobError("Say what to judge: either --project NAME or --model NAME.")
    for name in ("labeler", "llm"):
        if not options[name]:
            raise JobError(f"Say who judges: --{name} is missing.")
    config, llm = llm_get(options["llm"])
    labeler = prompt_get(options["labeler"], "labeler")
    verifier = prompt_get(options["verifier"], "verifier") if options["verifier"] else None
    if bool(options["price_in"]) != bool(options["price_out"]):
        raise JobError("A price has two parts; give both --price-in and --price-out.")
    selection = _selection(options)
    if options["price_in"]:
        price_give(config, llm, price_make(options["price_in"], options["price_out"]))
    return run_plan(selection=selection, labeler=labeler, verifier=verifier, config=config, llm=llm)


def _selection(options: dict[str, Any]) -> RunSelection:
    project = options["project"] or ""
    model = model_of_project(project) if project else model_get(options["model"])
    return run_selection_parse(model, project, options)


def run_get(pk: int) -> Run:
    """Raises JobError where there is none."""
    run = Run.objects.select_related("job", "judge").filter(pk=pk).first()
    if run is None:
        raise JobError(f"There is no run {pk}.")
    return run
