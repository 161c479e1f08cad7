"""What the tests of progress have in common."""

from io import StringIO

from django.core.management import call_command
from django.urls import reverse

from labelapp.judgements.services import Draft, judge_of_user, judgement_record
from labelapp.labelling.checks.models import Check
from labelapp.labelling.services import item_judge

YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"
HX = {"HX-Request": "true"}


def address(name, project, *args):
    return reverse(f"labelling:{name}", args=[project.slug, *args])


def judge_items(project, user, verdicts, seconds=6.0):
    """These verdicts on the first items, in the queue's order."""
    for item, verdict in zip(project.items.order_by("position"), verdicts, strict=False):
        item_judge(item=item, user=user, verdict=verdict, seconds=seconds)


def answered(project, user, kind, rows, first=None):
    """Checks that the person answered: (direction, verdict); for repeats with the judgements that came first."""
    start = Check.objects.filter(project=project, user=user).count()
    for number, (direction, verdict) in enumerate(rows, start=start):
        Check.objects.create(
            project=project, user=user, kind=kind, direction=direction, ordinal=number, after=number, snapshot="{}",
            is_open=False, first=first[number - start] if first else None,
        )  # fmt: skip
        judgement_record(
            judge=judge_of_user(user), source=f"checks:{project.pk}", draft=Draft(direction.pk, verdict, seconds=6.0)
        )


def of(found, user):
    return next(it for it in found if it.user_id == user.pk)


def judging(*arguments):
    out = StringIO()
    call_command("judging", *arguments, stdout=out)
    return out.getvalue()
