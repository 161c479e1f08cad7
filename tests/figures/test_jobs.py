"""Figures that a job computes: through a real worker, and on real weights."""

import numpy as np
import pytest
from django.core.management import call_command

from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selectors import unembedding_read
from labelapp.figures.estimates import resolve
from labelapp.figures.kinds import KINDS
from labelapp.figures.models import Figure
from labelapp.figures.query import Query, query_from_json
from labelapp.figures.services import figure_start, named
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from tests.figures.conftest import Census
from tests.support.waiting import wait_for

DEMO = "fixtures/demo_model"


def test_a_worker_computes_what_the_page_would_and_stores_it(worker, owner, owner_client, monkeypatch):
    census = Census()
    monkeypatch.setattr("labelapp.figures.services.MOST_ENDS_AT_ONCE", 100)
    address = "/figures/indices/?project=none"
    assert "Compute it" in owner_client.get(address).content.decode()
    assert owner_client.post("/figures/indices/compute/", {"project": "none"}).status_code == 302
    query = named(resolve(Query(project="none")))
    wait_for(lambda: Job.objects.get().state in (State.DONE, State.FAILED))
    job = Job.objects.get()
    assert job.state == State.DONE, job.error
    stored = Figure.objects.get()
    assert query_from_json(stored.query) == query
    alone = KINDS["indices"].compute(resolve(query))
    assert stored.data_hash == alone.inputs.data_hash
    page = owner_client.get(address).content.decode()
    assert "10 to" not in alone.sentence and alone.sentence.partition("(")[0] in page
    assert "Newer judgements" not in page and "Compute it" not in page
    Figure.objects.update(content=stored.content | {"version": stored.content["version"] - 1})
    assert "Compute it" in owner_client.get(address).content.decode(), "what older formulas made is not shown as it is"
    Figure.objects.update(content=stored.content)
    project = census.project(owner, n=20, judged=0)
    census.person_says(project, Direction.objects.first().pk, owner)
    assert "Newer judgements have come" in owner_client.get(address).content.decode()


@pytest.mark.django_db(transaction=True)
def test_resemblance_on_real_weights(owner, owner_client):
    call_command(
        "decompose", DEMO, "--name", "demo", "--layers", "0-1", "--circuits", "ov", "--directions", "6", "--top", "8"
    )
    query = named(resolve(Query(project="none")))
    job = figure_start(kind=KINDS["resemblance"], query=query, user=owner)
    progress = job_wait(job)
    assert progress.state == State.DONE, progress.error
    page = owner_client.get("/figures/resemblance/").content.decode()
    assert "directions of one matrix resemble one another" in page and "Newer judgements" not in page
    found = {it[1]: it for it in Figure.objects.get().content["points"]}
    within, across = found["within matrices"], found["across matrices"]
    # The same by brute force over all pairs.
    unembedding = unembedding_read(Model.objects.get().folder).astype(np.float64)
    centre = unembedding.mean(0)
    ends = list(Direction.objects.filter(sign="+").order_by("pk"))
    means = np.array([unembedding[list(it.token_ids)].mean(0) - centre for it in ends])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    cosines, matrices = unit @ unit.T, np.array([it.matrix_id for it in ends])
    same = matrices[:, None] == matrices
    other = ~np.eye(len(ends), dtype=bool)
    assert cosines[same & other].mean() == pytest.approx(within[8], rel=1e-5)
    assert cosines[~same].mean() == pytest.approx(across[8], rel=1e-5)
