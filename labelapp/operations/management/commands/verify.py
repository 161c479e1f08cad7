from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelapp.judgements.services import summaries_verify
from labelapp.labelling.projects.redraw import samples_verify
from labelapp.labelling.services import items_verify
from labelapp.review.label_tallies import tallies_verify
from labelapp.review.scores import scores_verify


class Command(BaseCommand):
    help = (
        "Recompute summaries, items' counts, labels' tallies and the disagreement queue from the judgements, draw the "
        "projects' samples again, and name what differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="and put right what differs")

    def handle(self, *args: Any, **options: Any) -> None:
        repair = options["repair"]
        differences = summaries_verify(repair=repair) + items_verify(repair=repair) + tallies_verify(repair=repair)
        differences += scores_verify(repair=repair)
        for line in differences:
            self.stdout.write(line)
        samples = samples_verify()
        for line in samples:
            self.stdout.write(line)
        if not samples:
            self.stdout.write("Every sample is the one that its design draws.")
        if not differences:
            self.stdout.write("Every summary, every item and the disagreement queue agree with the judgements.")
        elif repair:
            self.stdout.write(f"{len(differences)} counts were put right.")
        else:
            raise CommandError(f"{len(differences)} counts differ; --repair puts them right.")
        if samples:
            raise CommandError(f"{len(samples)} samples differ, and nothing puts them right.")
