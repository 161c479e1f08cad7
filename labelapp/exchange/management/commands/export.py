from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labelapp.exchange.formats import FORMATS
from labelapp.exchange.services import export_to_path
from labelapp.exchange.subjects import ExportError, subject_get


class Command(BaseCommand):
    help = "Write a project's directions with their readouts and all judgements to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's short name, as in its pages' addresses")
        parser.add_argument("--format", default="jsonl", help=f"{', '.join(sorted(FORMATS))} (default: jsonl)")
        parser.add_argument("--out", type=Path, required=True, help="the file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        subject = f"project:{options['project']}"
        try:
            total = subject_get(subject, None).directions.count()
            with tqdm(total=total, unit=" rows", disable=None) as bar:
                n = export_to_path(
                    subject=subject,
                    format=options["format"],
                    path=options["out"],
                    on_row=lambda _: bar.update(),
                )
        except ExportError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(f"{n} rows in {options['out']}."))
