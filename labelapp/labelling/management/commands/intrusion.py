import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.autolabel.follow import run_follow
from labelapp.autolabel.management.commands.autolabel import estimate_words, is_wanted
from labelapp.autolabel.providers import price_give
from labelapp.autolabel.runs import budget_check, plan_estimate
from labelapp.exchange.subjects import ExportError
from labelapp.jobs.services import JobError
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.trials.drawing import left_out_lines
from labelapp.labelling.trials.machines import choice_plan, choice_run_standing, choice_run_start
from labelapp.labelling.trials.models import ChoiceTest
from labelapp.labelling.trials.results import CHANCE_WORDS, Result, figures_table, results_of
from labelapp.labelling.trials.services import ENDS, ENDS_MOST, PEOPLE, TRIALS, choice_test_start
from workers.llm.errors import LlmError
from workers.llm.prices import money_parse, price_make

INTRUSION, MATCHING = ChoiceTest.Kind.INTRUSION, ChoiceTest.Kind.MATCHING


class Command(BaseCommand):
    help = (
        "Tests of a project that ask nobody's opinion: intrusion tests, which of six tokens does not belong, and with "
        "--matching label matching, which of four readouts a label names. --start draws the trials; people answer on "
        "the project's page Tests, --llm asks a language model. Without both it says what was found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="its short name, as in its address")
        parser.add_argument("--matching", action="store_true", help="label matching in place of the intrusion test")
        parser.add_argument("--test", type=int, help="a test's number (default: the project's newest of the kind)")
        parser.add_argument("--start", action="store_true", help="draw the trials of a new test")
        parser.add_argument("--ends", type=int, default=ENDS, help=f"at most {ENDS_MOST} (default: {ENDS})")
        parser.add_argument("--trials", type=int, default=TRIALS, help=f"of each end (default: {TRIALS})")
        parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
        parser.add_argument(
            "--labels",
            default=PEOPLE,
            help="whose labels are matched: people (default) or a machine judge's number",
        )
        parser.add_argument("--llm", help="PROVIDER:MODEL, or replay:FILE with recorded answers; it answers all trials")
        parser.add_argument("--prompt", default="", help="an intruder's or matcher's name, or NAME@VERSION")
        parser.add_argument("--budget", help="in dollars; it is never passed, the run pauses before")
        parser.add_argument("--price-in", help="dollars for a million tokens of the prompt, where it is not known")
        parser.add_argument("--price-out", help="the same for the answer")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="the figures as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            project = Project.objects.filter(slug=options["project"]).first()
            if project is None:
                raise LabellingError(f"There is no project {options['project']!r}; the page Label lists them.")
            kind = MATCHING if options["matching"] else INTRUSION
            test = self._start(project, kind, options) if options["start"] else _test(project, kind, options["test"])
            if options["llm"]:
                self._ask(test, options)
            if options["llm"] or not options["start"]:
                self._say(test, options)
        except (LabellingError, JobError, LlmError, ExportError) as error:
            raise CommandError(str(error)) from None

    def _start(self, project: Project, kind: str, options: dict[str, Any]) -> ChoiceTest:
        names = ("ends", "trials", "seed", "labels")
        test = choice_test_start(project=project, user=None, kind=kind, **{name: options[name] for name in names})
        n = test.trials.values("direction").distinct().count()
        out = self._out(options)
        out.write(f"The {test.get_kind_display()} {test.pk} has {test.trials.count():,} trials on {n:,} ends.\n")
        for line in left_out_lines(test.left_out):
            out.write(f"Left out: {line}\n")
        out.write(f"People answer at /label/{project.slug}/tests/{test.pk}/trials/\n")
        return test

    def _ask(self, test: ChoiceTest, options: dict[str, Any]) -> None:
        if bool(options["price_in"]) != bool(options["price_out"]):
            raise JobError("A price has two parts; give both --price-in and --price-out.")
        plan = choice_plan(test, options["llm"], prompt=options["prompt"])
        if options["price_in"]:
            price_give(plan.config, plan.llm, price_make(options["price_in"], options["price_out"]))
            plan = choice_plan(test, options["llm"], prompt=options["prompt"])
        run = choice_run_standing(test, plan)
        if run is None:
            budget = money_parse(options["budget"], zero=True) if options["budget"] else None
            budget_check(budget, plan.price, options["llm"])
            estimate = plan_estimate(plan)
            self._out(options).write(estimate_words(plan, estimate, budget).replace("directions:", "trials:") + "\n")
            if estimate.calls and not options["yes"] and not is_wanted():
                raise CommandError("Nothing was asked and nothing was spent.")
            run = choice_run_start(test, plan, budget=budget)
        self._out(options).write(run_follow(run) + "\n")

    def _say(self, test: ChoiceTest, options: dict[str, Any]) -> None:
        results = results_of(test)
        if options["json"]:
            header, rows = figures_table(test, results)
            figures = [dict(zip(header, row, strict=True)) for row in rows]
            self.stdout.write(json.dumps({"test": test.pk, "left_out": test.left_out, "figures": figures}, indent=1))
            return
        chance = CHANCE_WORDS[ChoiceTest.Kind(test.kind)]
        self.stdout.write(f"{test.get_kind_display().capitalize()} {test.pk}: precision, chance {chance}")
        for result in results:
            self.stdout.write("\n".join(_lines(result)))

    def _out(self, options: dict[str, Any]) -> Any:
        return sys.stderr if options["json"] else self.stdout


def _test(project: Project, kind: str, number: int | None) -> ChoiceTest:
    tests = project.tests.filter(pk=number) if number is not None else project.tests.filter(kind=kind)
    test = tests.order_by("-pk").first()
    if test is None:
        raise LabellingError(f"There is no such test in {project.name} yet; --start draws one.")
    return test


def _lines(it: Result) -> Iterator[str]:
    found = it.found
    value = "no figure" if found.value is None else f"{found.value:.3f}"
    interval = "" if found.low is None else f" ({found.low:.3f} to {found.high:.3f})"
    counts = f"{found.right:,} of {found.trials:,} trials on {found.ends:,} ends"
    lost = "".join(f", {n:,} {name}" for name, n in (("unparsed", it.unparsed), ("failed", it.failed)) if n)
    yield f"  {it.name}, {it.group_words}: {value}{interval}, {counts}{lost}. {found.why}".rstrip()
    meaning = found.meaning
    if meaning is not None and meaning.share is not None:
        low, high = meaning.share_interval or (None, None)
        interval = "" if low is None else f" ({low:.3f} to {high:.3f})"
        yield f"    ends that mean something: {meaning.share:.3f}{interval}. {meaning.why}".rstrip()
    elif meaning is not None:
        yield f"    {meaning.why}"
