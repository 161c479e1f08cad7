from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.atlas.keys import CIRCUITS
from labelapp.atlas.services import decompose_start
from labelapp.jobs.follow import job_follow


class Command(BaseCommand):
    help = "Decompose a model's weight matrices and read their directions out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="a folder with a checkpoint, or a name on the Hugging Face hub")
        parser.add_argument("--name", default="", help="the name in keys and on pages (default: the model's own)")
        parser.add_argument(
            "--circuits",
            help=f"like ov,mlp_in (of {', '.join(CIRCUITS)}; default: the post's)",
        )
        parser.add_argument("--layers", default="", help="like 0,5,9-11 (default: all)")
        parser.add_argument("--directions", type=int, default=64, help="vectors of each matrix (default: 64)")
        parser.add_argument("--top", type=int, default=50, help="tokens in each readout (default: 50)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("directions", "top"):
            if options[name] < 1:
                raise CommandError(f"--{name} must be at least 1, not {options[name]}.")
        circuits = options["circuits"].split(",") if options["circuits"] else None
        job = decompose_start(
            source=options["model"],
            name=options["name"],
            circuits=circuits,
            layers=options["layers"],
            directions=options["directions"],
            top=options["top"],
        )
        job_follow(job)
        self.stdout.write(self.style.SUCCESS("Decomposed. The models page and `manage.py show KEY` show it."))
