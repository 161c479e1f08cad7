"""Prompt versions: stored once, found by name, never changed."""

import pytest
import yaml
from django.core.management import CommandError, call_command

from labelapp.autolabel.models import ImmutableError, PromptVersion
from labelapp.autolabel.prompts import fixtures_folder, prompt_get, prompt_of, prompt_store_mapping, prompts_load
from tests.autolabel.conftest import LABELER, VERIFIER
from workers.llm.errors import PromptError

pytestmark = pytest.mark.django_db


def test_the_ready_made_prompts_are_there_and_loading_them_again_changes_nothing():
    files = list(fixtures_folder().glob("*.yaml"))
    before = list(PromptVersion.objects.order_by("pk").values_list("name", "version", "digest"))
    assert len(before) == len(files) > 0
    prompts_load()
    assert list(PromptVersion.objects.order_by("pk").values_list("name", "version", "digest")) == before


def test_another_wording_is_another_version_and_the_same_is_the_same(owner):
    first = prompt_store_mapping(LABELER, created_by=owner)
    assert prompt_store_mapping(LABELER) == first
    second = prompt_store_mapping({**LABELER, "max_tokens": 60})
    assert (str(first), str(second)) == ("plain@1", "plain@2")
    assert prompt_get("plain", "labeler") == second and prompt_get("plain@1", "labeler") == first
    assert prompt_of(first).max_tokens == 40 and prompt_of(second).digest == second.digest
    assert first.created_by == owner


def test_a_version_never_changes():
    version = prompt_store_mapping(LABELER)
    version.name = "other"
    for change in (
        version.save,
        version.delete,
        lambda: PromptVersion.objects.filter(pk=version.pk).update(name="other"),
        lambda: PromptVersion.objects.filter(pk=version.pk).delete(),
    ):
        with pytest.raises(ImmutableError):
            change()
    assert PromptVersion.objects.get(pk=version.pk).name == "plain"


@pytest.mark.parametrize("name", ["nobody", "plain@2", "plain@x", "check"])
def test_an_unknown_name_is_refused_with_the_names_that_there_are(name):
    prompt_store_mapping(LABELER)
    prompt_store_mapping(VERIFIER)
    with pytest.raises(PromptError, match=r"there is: .*plain"):
        prompt_get(name, "labeler")


def test_the_command_stores_a_file_or_nothing(tmp_path, capsys):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(yaml.safe_dump({**LABELER, "name": "mine"}))
    call_command("prompts", "--load", str(good))
    assert "mine@1" in capsys.readouterr().out
    bad.write_text(yaml.safe_dump({**LABELER, "name": "yours", "item_format": "Words: {token}"}))
    with pytest.raises(CommandError, match="token"):
        call_command("prompts", "--load", str(tmp_path))
    assert not PromptVersion.objects.filter(name="yours").exists()
    with pytest.raises(CommandError, match="no file or folder"):
        call_command("prompts", "--load", str(tmp_path / "nowhere"))
    call_command("prompts")
    assert "mine@1" in capsys.readouterr().out
