from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.autolabel.models import PromptVersion
from labelapp.autolabel.prompts import prompts_load
from workers.llm.errors import PromptError


class Command(BaseCommand):
    help = "List the prompt versions, or store those of a YAML file or a folder of them; a version never changes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--load", type=Path, help="a YAML file or a folder of them (see fixtures/prompts)")

    def handle(self, *args: Any, **options: Any) -> None:
        if (path := options["load"]) is not None:
            if not path.exists():
                raise CommandError(f"There is no file or folder {path}.")
            try:
                stored = prompts_load(path)
            except PromptError as error:
                raise CommandError(str(error)) from None
            self.stdout.write(self.style.SUCCESS(f"Stored: {', '.join(map(str, stored)) or 'nothing'}."))
            return
        for version in PromptVersion.objects.order_by("kind", "name", "version"):
            style = version.body.get("style", "")
            self.stdout.write(f"{version.kind:9} {version!s:32} {style:24} {version.digest[:12]}")
