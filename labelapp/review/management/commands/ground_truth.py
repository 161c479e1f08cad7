from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.exchange.formats import FORMATS
from labelapp.exchange.services import export_to_path
from labelapp.exchange.subjects import ExportError
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.review.exports import truth_address
from labelapp.review.gold import truth_as_gold
from labelapp.review.models import GroundTruth
from labelapp.review.truth import DIFFERENCES, truth_difference, truth_freeze, truth_get, truths_of
from labelapp.review.truth_rules import KINDS, GroundTruthError, truth_rule, truth_rule_of

NAMED = "NAME, which is its latest version, or NAME@2"


class Command(BaseCommand):
    help = "Ground-truth sets of a project: freeze a version, list them, say how two differ, export one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        freeze = acts.add_parser("freeze", help="freeze what a rule chooses now as the next version of a name")
        freeze.add_argument("project", help="the project's short name, as in its pages' addresses")
        freeze.add_argument("name", help="the set's name: small letters, digits and hyphens")
        freeze.add_argument(
            "--rule", default="adjudicated_else_agreed", help=f"{', '.join(KINDS)} (default: adjudicated_else_agreed)"
        )
        freeze.add_argument("--people", type=int, default=2, help="how many must agree, for the rules that ask (2)")
        freeze.add_argument("--posterior", type=float, default=0.9, help="to pass, for the rule aggregated (0.9)")
        freeze.add_argument("--seed", type=int, help="of the split; as in the first version (0)")
        freeze.add_argument("--held-out", type=float, help="the share that is held out; as in the first version (0.5)")
        listed = acts.add_parser("list", help="all versions of a project's sets")
        listed.add_argument("project")
        diff = acts.add_parser("diff", help="what differs between two versions")
        diff.add_argument("project")
        diff.add_argument("older", help="NAME@1")
        diff.add_argument("newer", help=NAMED)
        gold = acts.add_parser("gold", help="make a version the gold with which another project's people are checked")
        gold.add_argument("project")
        gold.add_argument("name", help=NAMED)
        gold.add_argument("--into", required=True, help="the short name of the project whose people are checked")
        export = acts.add_parser("export", help="write a version's entries, each with the set's hash, to a file")
        export.add_argument("project")
        export.add_argument("name", help=NAMED)
        export.add_argument("--format", default="jsonl", help=f"{', '.join(sorted(FORMATS))} (default: jsonl)")
        export.add_argument("--out", type=Path, required=True, help="the file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        try:
            getattr(self, f"_{options['act']}")(project, options)
        except (GroundTruthError, ExportError, LabellingError) as error:
            raise CommandError(str(error)) from None

    def _freeze(self, project: Project, options: dict[str, Any]) -> None:
        frozen = truth_freeze(
            project=project,
            name=options["name"],
            rule=truth_rule(options["rule"], options["people"], options["posterior"], project),
            seed=options["seed"],
            held_out=options["held_out"],
        )
        if frozen.is_new:
            self.stdout.write(self.style.SUCCESS(f"Frozen: {self._line(frozen.truth)}"))
        else:
            self.stdout.write(f"Nothing has changed since {frozen.truth}; it stands.")

    def _list(self, project: Project, options: dict[str, Any]) -> None:
        lines = [self._line(truth) for truth in truths_of(project)]
        self.stdout.write(
            "\n".join(lines) or f"{project} has no ground-truth set yet; `ground_truth freeze` makes one."
        )

    def _diff(self, project: Project, options: dict[str, Any]) -> None:
        older, newer = (self._get(project, options[name]) for name in ("older", "newer"))
        for kind, words in DIFFERENCES.items():
            entries = list(truth_difference(older, newer, kind))
            self.stdout.write(f"{words}: {len(entries)}")
            for entry in entries:
                before = getattr(entry, f"{kind}_before", "")
                now = f"{before} → {getattr(entry, kind)}" if kind in ("verdict", "label") else entry.verdict
                self.stdout.write(f"  {entry.key}  {now}")

    def _gold(self, project: Project, options: dict[str, Any]) -> None:
        into = Project.objects.filter(slug=options["into"]).first()
        if into is None:
            raise CommandError(f"There is no project {options['into']!r}.")
        found = truth_as_gold(truth=self._get(project, options["name"]), project=into)
        self.stdout.write(self.style.SUCCESS(f"{into.slug}: {found.sentence}"))

    def _export(self, project: Project, options: dict[str, Any]) -> None:
        truth = self._get(project, options["name"])
        n = export_to_path(subject=truth_address(truth), format=options["format"], path=options["out"])
        self.stdout.write(self.style.SUCCESS(f"{n} rows in {options['out']}, sha256 {truth.content_hash}."))

    @staticmethod
    def _get(project: Project, named: str) -> GroundTruth:
        name, at, version = named.partition("@")
        if at and not (version.isascii() and version.isdigit() and len(version) < 10):
            raise GroundTruthError(f"{named!r} names no version; a set is named like {name or 'animals'}@1.")
        return truth_get(project, name, int(version) if at else None)

    @staticmethod
    def _line(truth: GroundTruth) -> str:
        return (
            f"{truth}  {truth.n} entries, {truth.n_held_out} held out  {truth.content_hash[:12]}  "
            f"{truth.created_at:%Y-%m-%d %H:%M}  {truth_rule_of(truth.rule).says}"
        )
