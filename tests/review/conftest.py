"""A project with its four people, and directions in the order of their ids."""

import pytest

from labelapp.labelling.services import item_judge
from tests.factories import cast_project


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
