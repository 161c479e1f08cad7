"""The tour is there with gpt2-medium, and with nothing else that bears its name."""

import pytest

from tests.factories import ModelFactory

pytestmark = pytest.mark.django_db


def medium(**fields):
    return ModelFactory(**{"name": "gpt2-medium", "n_layers": 24, "n_heads": 16, **fields})


def page(client):
    return client.get("/models/").content.decode()


def test_the_tour_leads_to_the_posts_heads(owner_client):
    medium()
    shown = page(owner_client)
    assert "A short tour" in shown
    for head in (10, 15, 8, 3):
        assert f'href="/models/matrix/gpt2-medium/ov.22.{head}"' in shown


@pytest.mark.parametrize("fields", [{"name": "gpt2"}, {"n_layers": 6}, {"n_heads": 4}, {"is_default": False}])
def test_otherwise_there_is_none(owner_client, fields):
    medium(**fields)
    assert "A short tour" not in page(owner_client)
