from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labelapp.exchange.imports import READOUTS_REVISION, ImportRefusedError, readouts_count, readouts_import


class Command(BaseCommand):
    help = "Import readouts (of neurons, dictionary features, anything with a key and tokens) from CSV or JSON Lines."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a .csv, .jsonl or .ndjson file; docs/import.md has the form")
        parser.add_argument(
            "--revision",
            default=READOUTS_REVISION,
            help="of the models that the readouts are stored under, beside any with weights, where a key names none "
            f"(default: {READOUTS_REVISION})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["file"]
        try:
            total = readouts_count(path)  # and is sound to the last line, before anything is stored
            with tqdm(total=total, unit=" readouts", disable=None) as bar:
                made = readouts_import(path, revision=options["revision"], on_row=bar.update)
        except ImportRefusedError as error:
            raise CommandError(str(error)) from None
        if made is None:
            self.stdout.write(f"All readouts of {path} are stored already; nothing was changed.")
            return
        slugs = ", ".join(str(model) for model in made.atlas_models.order_by("pk"))
        self.stdout.write(self.style.SUCCESS(f"Import {made.pk}: {made.n_directions} new directions of {slugs}."))
