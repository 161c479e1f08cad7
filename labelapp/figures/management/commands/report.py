import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.atlas.selection import SelectionError
from labelapp.figures.report import ReportError, judge_reported, report
from labelapp.figures.report_files import PAGE, project_get, report_to_folder
from labelapp.figures.report_text import report_lines


class Command(BaseCommand):
    help = (
        "Print what a machine judge says under every verdict rule, by model and circuit, and the audits of its labels; "
        "with --project write the report on a project into a folder."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--judge",
            default="",
            help="a machine judge's name or number (default: that of the last imported labels, else the last to judge)"
            "; with --project the machine of its figures",
        )
        parser.add_argument("--source", default="", help="only what came from it, like run:3 or import:1")
        parser.add_argument("--json", action="store_true", help="counts by slice and audit, as one JSON object")

        parser.add_argument("--project", default="", help="a project by its short name: write its report")
        parser.add_argument("--out", type=Path, help="the folder of a project's report, which must be new")
        parser.add_argument("--names", action="store_true", help="people by their names, not as person 1, person 2, …")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["project"] or options["out"]:
            self._project(options)
            return
        try:
            found = report(judge_reported(options["judge"]), source=options["source"])
        except ReportError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found.as_json()))
            return
        for line in report_lines(found):
            self.stdout.write(line)

    def _project(self, options: dict[str, Any]) -> None:
        if not options["project"] or not options["out"]:
            raise CommandError("A project's report wants both --project and --out, the folder to write it into.")
        if options["source"] or options["json"]:
            raise CommandError("--source and --json are of the report on a judge; leave them out.")
        try:
            report_to_folder(
                project_get(options["project"]),
                options["out"],
                judge=judge_reported(options["judge"]) if options["judge"] else None,
                with_names=options["names"],
                progress=lambda words: self.stderr.write(f"{words} …"),
            )
        except (ReportError, SelectionError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Written: {options['out'] / PAGE}")
