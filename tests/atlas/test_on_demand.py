"""A matrix that is not stored is computed because somebody opens its page: a real worker, real weights."""

import pytest
from django.conf import settings
from django.urls import reverse

from labelapp.atlas.models import Matrix
from labelapp.atlas.services import decompose_start
from labelapp.jobs.models import Job, State
from tests.support.waiting import wait_for

DEMO = settings.BASE_DIR / "fixtures" / "demo_model"


@pytest.mark.parametrize("address", ["/models/matrix/demo/ov.2.3", "/models/direction/demo/ov.2.3:read/5-"])
def test_opening_a_matrix_computes_it(worker, owner_client, address):
    job = decompose_start(source=str(DEMO), name="demo", circuits=["mlp_out"], layers="0", directions=4, top=10)
    wait_for(lambda: Job.objects.get(pk=job.pk).state == State.DONE)
    assert Matrix.objects.count() == 1

    assert "has been asked for" in owner_client.get(address).content.decode()
    asked = Job.objects.latest("pk")
    wait_for(lambda: not Job.objects.get(pk=asked.pk).is_open)
    response = owner_client.get(reverse("jobs:progress", args=[asked.pk]), headers={"HX-Request": "true"})
    assert response["HX-Refresh"] == "true"
    page = owner_client.get(address).content.decode()
    assert "heat-" in page and "has been asked for" not in page
    assert str(Matrix.objects.get(circuit="ov").key) == "demo/ov.2.3"
