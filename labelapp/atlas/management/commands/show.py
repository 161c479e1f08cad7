import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.atlas.keys import KeyFormError
from labelapp.atlas.models import Direction
from labelapp.atlas.selectors import NotStoredError, direction_get, readout_record
from labelapp.atlas.tokens import token_display


class Command(BaseCommand):
    help = "Print one direction: its singular value, gaps and readout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", help="like gpt2-medium/ov.22.10/1+")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            direction = direction_get(options["key"])
        except (KeyFormError, NotStoredError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(readout_record(direction)))
        else:
            self._print(direction)

    def _print(self, direction: Direction) -> None:
        self.stdout.write(f"{direction.key}  singular value {_number(direction.singular_value)}")
        self.stdout.write(
            f"gap above {_number(direction.gap_above)}, below {_number(direction.gap_below)}; "
            + ("in no block" if direction.block is None else f"block {direction.block}")
        )
        for token, score in zip(direction.tokens, direction.scores or [None] * len(direction.tokens), strict=True):
            self.stdout.write(f"{_number(score):>8}  {token_display(token)}")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
