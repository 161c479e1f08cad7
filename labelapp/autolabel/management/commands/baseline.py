from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.atlas.selection import SelectionError, selection_arguments_add, selection_of
from labelapp.atlas.selectors import NotStoredError, model_get
from labelapp.autolabel.services import baseline_run_start
from labelapp.jobs.follow import job_follow
from labelapp.jobs.services import JobError


class Command(BaseCommand):
    help = "Let the offline baseline judge stored directions, of the model's own weights, other bases or controls."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="a model's name, as in keys")
        selection_arguments_add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            model = model_get(options["model"])
            run = baseline_run_start(model=model, selection=selection_of(model, options))
        except (NotStoredError, SelectionError, JobError) as error:
            raise CommandError(str(error)) from None
        job_follow(run.job)
        self.stdout.write(self.style.SUCCESS(f"Judged. /runs/{run.pk}/ shows it."))
