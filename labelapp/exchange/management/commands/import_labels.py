from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labelapp.exchange.imports import LABELS_REVISION, RELEASED_LLM, ImportRefusedError, labels_import, labels_read


class Command(BaseCommand):
    help = "Import released labels of GPT-2's MLP directions from a folder, in either of the two published forms."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="the folder with the JSON files")
        parser.add_argument(
            "--revision",
            default=LABELS_REVISION,
            help=f"of the models that they are stored under, beside any with weights (default: {LABELS_REVISION})",
        )
        parser.add_argument("--llm", default=RELEASED_LLM, help=f"that gave the answers (default: {RELEASED_LLM})")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["folder"]
        try:
            entries = labels_read(folder)
            with tqdm(total=len(entries), unit=" directions", disable=None) as bar:
                made = labels_import(
                    entries,
                    name=folder.resolve().name,
                    llm=options["llm"],
                    revision=options["revision"],
                    on_row=bar.update,
                )
        except ImportRefusedError as error:
            raise CommandError(str(error)) from None
        if made is None:
            self.stdout.write(f"All {len(entries)} labels of {folder} are stored already; nothing was changed.")
            return
        slugs = ", ".join(str(model) for model in made.atlas_models.order_by("pk"))
        self.stdout.write(
            self.style.SUCCESS(
                f"Import {made.pk}: {made.n_judgements} labels on {made.n_directions} new directions of {slugs}. "
                "`manage.py report` prints their tables."
            )
        )
