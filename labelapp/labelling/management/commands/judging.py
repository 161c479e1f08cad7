import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.judgements.models import Judge
from labelapp.labelling.checks.services import gold_add, gold_parse, mix_change, mix_of
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.progress.label_plan import label_plan, machines_of
from labelapp.labelling.progress.quality import Quality, Rate, quality
from labelapp.labelling.progress.selectors import project_progress
from labelapp.statistics.agreement_card import AgreementCard

SHARES = ("gold", "control", "repeat")


class Command(BaseCommand):
    help = (
        "How far a project is (the default), how well its people judge, how many labels a wanted interval needs, and "
        "what is mixed in to check them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's short name, as in its pages' addresses")
        reads = parser.add_argument_group("what to say").add_mutually_exclusive_group()
        reads.add_argument("--quality", action="store_true", help="gold, noise, agreement, straight-lining, by person")
        reads.add_argument("--plan", type=float, metavar="POINTS", help="the labels that ± so many points need")
        parser.add_argument("--confidence", type=float, default=95, help="of the plan's interval, in %% (default: 95)")
        parser.add_argument("--share", type=float, help="that is expected, in %% (default: as people say so far)")
        parser.add_argument("--judge", type=int, help="a machine judge's number (default: that with most in common)")
        parser.add_argument("--population", action="store_true", help="the figure is about directions like these")
        parser.add_argument("--json", action="store_true", help="the quality as JSON")
        mixed = parser.add_argument_group("what is mixed in, in % of all that lies before a person")
        for name in SHARES:
            mixed.add_argument(f"--{name}", type=float, metavar="PERCENT")
        mixed.add_argument("--controls", help="like gaussian,covariance.2; those that are stored")
        mixed.add_argument("--distance", type=int, help="answers between an item and its repeat, at least")
        mixed.add_argument("--own", choices=("show", "hide"), help="whether annotators see their own quality")
        mixed.add_argument(
            "--known", type=Path, help="a file of known verdicts: a key, a verdict, a label on each line"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        if project.state == Project.State.DRAFT:
            raise CommandError(f"{project.name} is a draft: nothing is judged in it yet.")
        try:
            has_changed = self._change(project, options)
            if options["quality"]:
                self._quality(project, as_json=options["json"])
            elif options["plan"] is not None:
                self._plan(project, options)
            elif not has_changed:
                self._progress(project)
        except (LabellingError, ValueError) as error:
            raise CommandError(str(error)) from None

    def _change(self, project: Project, options: dict[str, Any]) -> bool:
        if options["known"] is not None:
            found = gold_add(project=project, rows=gold_parse(_read(options["known"])), origin="the command line")
            self.stdout.write(self.style.SUCCESS(found.sentence))
        asked = any(options[name] is not None for name in (*SHARES, "controls", "distance", "own"))
        if asked:
            mix = mix_of(project)
            shares = {
                f"{name}_share": getattr(mix, f"{name}_share") if options[name] is None else options[name] / 100
                for name in SHARES
            }
            controls = options["controls"]
            mix = mix_change(
                project=project,
                controls=mix.controls if controls is None else [it.strip() for it in controls.split(",") if it.strip()],
                distance=options["distance"] or mix.distance,
                own_shown=mix.own_shown if options["own"] is None else options["own"] == "show",
                **shares,
            )
            self.stdout.write(self.style.SUCCESS(f"{100 * mix.share:g} % are checks from now on."))
        return asked or options["known"] is not None

    def _progress(self, project: Project) -> None:
        found = project_progress(project)
        sample = found.sample
        self.stdout.write(f"{project.name}: {sample.judged:,} of {sample.wanted:,} judgements, {found.left:,} left")
        for judged, n in sample.by_judged:
            self.stdout.write(f"  judged by {judged}: {n:,} items")
        for person in found.people:
            rate = f"{person.a_minute:.1f} a minute" if person.a_minute else "not at work"
            self.stdout.write(
                f"  {person.name} ({person.role or 'has left'}): {person.n:,} judged, {person.checks:,} checks, {rate}"
            )
        if found.left and (minutes := found.minutes_left) is not None:
            whose = "at the present rate" if found.a_minute else "for one person at the pace so far"
            self.stdout.write(f"  {minutes:.0f} minutes left {whose}")

    def _quality(self, project: Project, *, as_json: bool) -> None:
        found = quality(project)
        if as_json:
            self.stdout.write(json.dumps([asdict(it) for it in found], indent=2))
            return
        for person in found:
            self.stdout.write("\n".join(_lines(person)))
        if not found:
            self.stdout.write("Nobody has judged here yet.")

    def _plan(self, project: Project, options: dict[str, Any]) -> None:
        found = label_plan(
            project,
            half_width=options["plan"] / 100,
            confidence=options["confidence"] / 100,
            share=None if options["share"] is None else options["share"] / 100,
            machine=_machine(project, options["judge"]),
            is_census=not options["population"],
        )
        self.stdout.write(f"± {options['plan']:g} points at {options['confidence']:g} %, p = {found.share:.2f}")
        for line in found.lines:
            n = found.wanted(line)
            self.stdout.write(f"  {line.name}: ρ = {line.correlation:.2f}, n = {n:,}, {max(0, n - found.done):,} left")
        if found.correlation is None:
            self.stdout.write("  ρ cannot be known yet: no machine has judged what people judged here.")
        elif found.correlation.why:
            self.stdout.write(f"  {found.correlation.why}")


def _lines(person: Quality) -> list[str]:
    lines = [
        f"{person.name}: {person.n:,} judged, {person.n_checks:,} checks",
        f"  on gold: {_rate(person.gold)}",
        f"  noise called a meaning: {_rate(person.noise)}",
        f"  with oneself: {_card(person.oneself)}",
        f"  with others: {_card(person.others)}",
    ]
    if person.seconds is not None:
        lines.append(f"  seconds: {person.seconds:.1f}")
    return lines + [f"  look: {warning}" for warning in person.straight.warnings]


def _rate(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return f"{rate.k} of {rate.n} ({rate.why})"
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f}), n = {rate.n}"


def _card(card: AgreementCard | None) -> str:
    if card is None or card.raw.value is None:
        return "too few items with two verdicts"
    kappa = "not defined" if card.kappa.value is None else f"{card.kappa.value:.3f}"
    return f"raw {card.raw.value:.3f}, kappa {kappa}, n = {card.n}"


def _machine(project: Project, number: int | None) -> Judge | None:
    machines = machines_of(project)
    if number is None:
        return machines[0] if machines else None
    found = next((it for it in machines if it.pk == number), None)
    if found is None:
        known = ", ".join(f"{it.pk}: {it.name}" for it in machines)
        raise LabellingError(f"Judge {number} has judged nothing that people judged here (there is {known or 'none'}).")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read as text: {error}.") from None
