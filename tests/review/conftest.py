"""A project with its four people, and directions in the order of their ids."""

import pytest

from labelapp.judgements.services import Draft, judge_ensure, judgements_record_new
from labelapp.labelling.services import item_judge
from labelapp.review.services import adjudicate
from tests.factories import DirectionFactory, cast_project

YES, NO = "interpretable", "not_interpretable"


@pytest.fixture
def project(owner, reviewer, annotator, make_user):
    return cast_project(owner, reviewer, annotator, make_user("viewer"), n=6)


@pytest.fixture
def items(project):
    return list(project.items.select_related("project", "direction__matrix__model").order_by("direction_id"))


@pytest.fixture
def judge_all():
    """`judge_all(items, user, [YES, NO, ""])`: one verdict each, none where it is empty."""

    def act(items, user, verdicts, label="words"):
        for item, verdict in zip(items, verdicts, strict=False):
            if verdict:
                item_judge(item=item, user=user, verdict=verdict, label=f"{label} of {user}")

    return act


@pytest.fixture
def many(owner, reviewer, annotator):
    """30 vectors with both ends, each end decided: every third is no."""
    project = cast_project(owner, reviewer, annotator, n=30, overlap=1)
    matrix = project.items.first().direction.matrix
    for position, direction in enumerate(list(matrix.directions.all())):
        other = DirectionFactory(
            matrix=matrix, index=direction.index, sign="-", tokens=[f"word{position}of{n}" for n in range(10)]
        )
        project.items.create(direction=other, position=100 + position, inclusion_probability=1)
    for n, item in enumerate(project.items.select_related("project", "direction").order_by("direction_id")):
        adjudicate(item=item, user=owner, verdict=NO if n % 3 == 0 else YES)
    return project


def said(judge, directions, verdict_of, answer_of=None, source="run:1"):
    drafts = [Draft(it.pk, verdict) for n, it in enumerate(directions) if (verdict := verdict_of(n))]
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1}) if answer_of else None
    answers = {it.pk: answer for n, it in enumerate(directions) if answer_of and (answer := answer_of(n))}
    judgements_record_new(judge=judge, source=source, drafts=drafts, verifier=verifier, verifications=answers)


@pytest.fixture
def judges(many):
    """A baseline that is wrong on each fifth; a labeler with a verifier, with gaps of every kind."""
    directions = [it.direction for it in many.items.select_related("direction").order_by("direction_id")]
    one, two = (judge_ensure(type="prompt", name=name, parameters={"name": name}) for name in ("one", "two"))
    said(one, directions, lambda n: (YES if n % 3 else NO) if n % 5 else (NO if n % 3 else YES))
    said(
        two, directions,
        lambda n: "" if n == 7 else "failed" if n == 8 else "unparsed" if n == 9 else YES if n % 4 else NO,
        lambda n: "" if n % 4 == 0 else "unparsed" if n == 10 else "no" if n % 6 == 1 else "yes",
    )  # fmt: skip
    return one, two
