import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labelapp.autolabel.follow import run_follow
from labelapp.autolabel.management.commands.autolabel import USER_ERRORS, estimate_words, is_wanted, run_get
from labelapp.autolabel.measuring import (
    SAMPLE,
    Wanted,
    detector_default,
    measure_plan,
    measurement_standing,
    measurement_start,
    missing_decompose,
    prompted_check,
)
from labelapp.autolabel.models import Run
from labelapp.autolabel.prompts import prompt_get
from labelapp.autolabel.runs import budget_check, plan_count, plan_estimate
from labelapp.autolabel.trust import Row, Section, trust
from labelapp.jobs.follow import job_follow
from labelapp.jobs.services import JobError
from workers.llm.prices import money_parse

CHECKS = Run.Purpose.values
ALL = "all"


class Command(BaseCommand):
    help = (
        "How far can the judge of a run be trusted? Without --check it says what was found so far; with one it "
        "measures: says first what that will cost, and asks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int)
        parser.add_argument("--check", choices=CHECKS, help="what to measure")
        parser.add_argument(
            "--directions",
            type=_count_or_all,
            default=SAMPLE,
            metavar="N",
            help=f"ask about so many, of controls and contrasts of each kind, or all (default: {SAMPLE})",
        )
        parser.add_argument("--detector", default="", help="for detection: a detector prompt's name, or NAME@VERSION")
        parser.add_argument("--llm", default="", help="for detection: PROVIDER:MODEL (default: the run's own)")
        parser.add_argument("--decompose", action="store_true", help="compute the controls or contrasts that lack")
        parser.add_argument("--budget", help="in dollars; it is never passed, the run pauses before")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="the figures as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = run_get(options["run"])
            if options["check"] is None:
                prompted_check(run)
                self._say(run, options)
            elif options["decompose"]:
                self._decompose(run, Run.Purpose(options["check"]))
            else:
                self._measure(run, Run.Purpose(options["check"]), options)
        except USER_ERRORS as error:
            raise CommandError(str(error)) from None

    def _measure(self, run: Run, purpose: Run.Purpose, options: dict[str, Any]) -> None:
        if purpose != Run.Purpose.DETECTION and (options["detector"] or options["llm"]):
            raise JobError("--detector and --llm are for --check detection; the others ask the run's own judge.")
        started = measurement_standing(run, purpose) or self._start(run, purpose, options)
        self.stdout.write(self.style.SUCCESS(run_follow(started)))
        self._say(run, options, [purpose])

    def _start(self, run: Run, purpose: Run.Purpose, options: dict[str, Any]) -> Run:
        detector = None
        if purpose == Run.Purpose.DETECTION:
            named = options["detector"]
            detector = prompt_get(named, "detector") if named else detector_default(run)
        plan = measure_plan(run, Wanted(purpose, options["directions"], detector, options["llm"]))
        budget = money_parse(options["budget"], zero=True) if options["budget"] else None
        budget_check(budget, plan.price, f"{plan.config.name}:{plan.llm}")
        with tqdm(total=plan_count(plan), unit=" directions", desc="Counting calls", disable=None, leave=False) as bar:
            estimate = plan_estimate(plan, bar.update)
        out = sys.stderr if options["json"] else self.stdout
        out.write(estimate_words(plan, estimate, budget) + "\n")
        if estimate.calls and not options["yes"] and not is_wanted():
            raise CommandError("Nothing was asked and nothing was spent.")
        return measurement_start(plan, budget=budget)

    def _decompose(self, run: Run, purpose: Run.Purpose) -> None:
        job_follow(missing_decompose(run, purpose))
        self.stdout.write(self.style.SUCCESS(f"Decomposed; `manage.py reliability {run.pk} --check {purpose}` asks."))

    def _say(self, run: Run, options: dict[str, Any], purposes: list[Run.Purpose] | None = None) -> None:
        sections = trust(run.measured_run or run, purposes=purposes or Run.Purpose)
        if options["json"]:
            self.stdout.write(json.dumps({"run": run.pk, "checks": [it.as_json() for it in sections]}, indent=1))
            return
        for section in sections:
            self.stdout.write("\n".join(section_lines(section)))


def section_lines(section: Section) -> Iterator[str]:
    """A section as text for a terminal."""
    name, label = section.purpose.value, section.purpose.label
    title = name if name == label else f"{name}: {label}"
    yield title + (f" (run {section.run.pk})" if section.run else "")
    width = max((len(row.name) for row in section.rows), default=0)
    for row in section.rows:
        yield f"  {row.name:<{width}}  {row_words(row)}"
    if section.note:
        yield f"  {section.note}"


def row_words(row: Row) -> str:
    """ ".842 (.791 to .882), n = 200 directions; 2 unparsed, left out"."""
    if row.value is None:
        return row.note
    interval = "" if row.low is None or row.high is None else f" ({_number(row.low)} to {_number(row.high)})"
    words = f"{_number(row.value)}{interval}, n = {row.n:,} {row.of}"
    return f"{words}; {row.note}" if row.note else words


def _number(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def _count_or_all(text: str) -> int | None:
    if text == ALL:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise ArgumentTypeError(f"give a number above 0 or all, not {text!r}.")
    return int(text)
