import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.figures.report import ReportError, judge_reported, report
from labelapp.figures.report_text import report_lines


class Command(BaseCommand):
    help = (
        "Print what a machine judge says under every verdict rule, by model and circuit, and the audits of its labels."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--judge",
            default="",
            help="a machine judge's name or number (default: that of the last imported labels, else the last to judge)",
        )
        parser.add_argument("--source", default="", help="only what came from it, like run:3 or import:1")
        parser.add_argument("--json", action="store_true", help="counts by slice and audit, as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = report(judge_reported(options["judge"]), source=options["source"])
        except ReportError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(found.as_json()))
            return
        for line in report_lines(found):
            self.stdout.write(line)
