from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from labelapp.accounts.models import User
from labelapp.atlas.selection import SelectionError, selection_arguments_add
from labelapp.atlas.selectors import NotStoredError, model_get
from labelapp.judgements.models import Judge
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.projects.design import (
    ALL_OF_THEM,
    ALLOCATIONS,
    KINDS,
    PROPORTIONAL,
    SIMPLE_RANDOM,
    STRATA,
    Design,
)
from labelapp.labelling.projects.forms import MATRICES, MOST_OVERLAP, NARROWED
from labelapp.labelling.projects.selection import item_selection_parse
from labelapp.labelling.projects.services import DEMO_GUIDELINES, project_draft, project_open
from labelapp.labelling.subjects import NAMES, guidelines_for

AT_LEAST = {"n": 1, "seed": 0, "overlap": 1, "threshold": 1}
AT_MOST = {"overlap": MOST_OVERLAP, "threshold": 100}


class Command(BaseCommand):
    help = (
        "Make a labelling project of a sample of some models' directions, pairs or matrices, and open it. "
        "Controls are mixed in with --control none,gaussian, and nothing in the queue tells them from the model's own."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="a model's name, as in keys; with commas for several")
        parser.add_argument("name", help="the project's name")
        parser.add_argument("--owner", required=True, help="the user who owns it")
        parser.add_argument("--draft", action="store_true", help="draw nothing yet; its page shows what would be drawn")
        parser.add_argument("--guidelines", type=Path, help="a file in Markdown (default: the demo's)")
        parser.add_argument(
            "--of", choices=list(NAMES.values()), default="directions", help="what is judged (default: directions)"
        )
        which = parser.add_argument_group("which directions")
        selection_arguments_add(parser)
        which.add_argument("--indices", default="", help="like 0,5,9-11 (default: all)")
        which.add_argument("--sides", default="", help="like write (default: all)")
        which.add_argument("--signs", default="", help="+ or - (default: both); write --signs=-")
        sample = parser.add_argument_group("which of them")
        sample.add_argument("--n", type=int, help="how many to draw (default: all of the selection)")
        sample.add_argument("--seed", type=int, default=0, help="of the sample and its order (default: 0)")
        sample.add_argument("--sample", choices=list(KINDS), help="(default: simple_random with --n, else all)")
        sample.add_argument("--strata", choices=list(STRATA), default="", help="of a stratified sample")
        sample.add_argument("--allocation", choices=list(ALLOCATIONS), default=PROPORTIONAL)
        sample.add_argument(
            "--judge", type=int, help="a machine judge's number, for machine cells, Neyman, uncertainty"
        )
        judging = parser.add_argument_group("how they are judged")
        judging.add_argument("--overlap", type=int, default=1, help="how many people judge each item (default: 1)")
        judging.add_argument("--threshold", type=int, default=70, help="%% of the tokens that must fit (default: 70)")
        judging.add_argument("--ends", choices=Project.Ends.values, default=Project.Ends.ONE, help="shown at once")
        judging.add_argument(
            "--hide-others", action="store_true", help="others' judgements stay hidden after one's own"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name, least in AT_LEAST.items():
            _require_between(name, options[name], least, AT_MOST.get(name))
        owner = User.objects.filter(username=options["owner"]).first()
        if owner is None:
            raise CommandError(f"There is no user {options['owner']!r}.")
        subject = next(subject for subject, name in NAMES.items() if name == options["of"])
        usual = guidelines_for(subject, DEMO_GUIDELINES, DEMO_GUIDELINES)
        guidelines = _read(options["guidelines"]) if options["guidelines"] else usual
        try:
            with transaction.atomic():
                project = project_draft(
                    name=options["name"],
                    owner=owner,
                    guidelines=guidelines,
                    design=_design(options),
                    subject=subject,
                    overlap=options["overlap"],
                    threshold=options["threshold"] / 100,
                    ends=options["ends"],
                    reveal=not options["hide_others"],
                )
                if not options["draft"]:
                    project = project_open(project)
        except (NotStoredError, SelectionError, LabellingError) as error:
            raise CommandError(str(error)) from None
        if options["draft"]:
            said = f"Made the draft {project.slug}: /label/{project.slug}/settings/"
        else:
            said = f"Made {project.slug} with {project.items.count()} items: /label/{project.slug}/"
        self.stdout.write(self.style.SUCCESS(said))


def _design(options: dict[str, Any]) -> Design:
    """Raises NotStoredError, SelectionError, LabellingError."""
    models = [model_get(slug.strip()) for slug in options["model"].split(",")]
    selection = item_selection_parse(models, **{name: options[name] for name in (*MATRICES, *NARROWED)})
    kind = options["sample"] or (SIMPLE_RANDOM if options["n"] else ALL_OF_THEM)
    return Design(
        selection, kind, options["n"], options["seed"], options["strata"], options["allocation"],
        _machine(options["judge"]),
    )  # fmt: skip


def _machine(number: int | None) -> str:
    if number is None:
        return ""
    judge = Judge.objects.filter(pk=number).exclude(type=Judge.Type.PERSON).first()
    if judge is None:
        raise LabellingError(f"There is no machine judge {number}; the page of a new project lists them.")
    return judge.digest


def _require_between(name: str, value: int | None, least: int, most: int | None) -> None:
    if value is not None and value < least:
        raise CommandError(f"--{name} must be at least {least}, not {value}.")
    if value is not None and most is not None and value > most:
        raise CommandError(f"--{name} must be at most {most}, not {value}.")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read as text: {error}.") from None
