from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.accounts.models import User
from labelapp.atlas.selection import SelectionError, selection_arguments_add, selection_of
from labelapp.atlas.selectors import NotStoredError, model_get
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.projects import DEMO_GUIDELINES, project_draw


class Command(BaseCommand):
    help = (
        "Make a labelling project of a random sample of a model's directions. Controls are mixed in with "
        "--control none,gaussian, and nothing in the queue tells them from the model's own."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="a model's name, as in keys")
        parser.add_argument("name", help="the project's name")
        parser.add_argument("--owner", required=True, help="the user who owns it")
        parser.add_argument("--n", type=int, help="how many directions to draw (default: all of the selection)")
        parser.add_argument("--seed", type=int, default=0, help="of the sample and its order (default: 0)")
        parser.add_argument("--guidelines", type=Path, help="a file in Markdown (default: the demo's)")
        selection_arguments_add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        owner = User.objects.filter(username=options["owner"]).first()
        if owner is None:
            raise CommandError(f"There is no user {options['owner']!r}.")
        if options["n"] is not None and options["n"] < 1:
            raise CommandError(f"--n must be at least 1, not {options['n']}.")
        try:
            model = model_get(options["model"])
            project = project_draw(
                model=model,
                selection=selection_of(model, options),
                name=options["name"],
                owner=owner,
                guidelines=options["guidelines"].read_text() if options["guidelines"] else DEMO_GUIDELINES,
                n=options["n"],
                seed=options["seed"],
            )
        except (NotStoredError, SelectionError, LabellingError) as error:
            raise CommandError(str(error)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['guidelines']} cannot be read as text: {error}.") from None
        n = project.design["n"]
        self.stdout.write(self.style.SUCCESS(f"Made {project.slug} with {n} items: /label/{project.slug}/"))
