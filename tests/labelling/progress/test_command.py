"""`manage.py judging` says what the pages say."""

import json

import pytest
from django.core.management import CommandError

from labelapp.labelling.checks.models import CheckMix
from tests.labelling.progress.support import NO, YES, answered, judge_items, judging

pytestmark = pytest.mark.django_db


def test_the_command_says_the_same(project, owner, annotator, others, tmp_path):
    judge_items(project, annotator, [YES, NO] * 15)
    assert "30 of 80 judgements, 50 left" in judging(project.slug)
    said = judging(project.slug, "--plan", "10", "--population")
    assert "people alone: ρ = 0.00, n = 97, 67 left" in said and "no machine has judged" in said
    answered(project, annotator, "control", [(it, YES) for it in others["gaussian"][:10]])
    assert "noise called a meaning: 1.000 (0.722 to 1.000), n = 10" in judging(project.slug, "--quality")
    (row,) = json.loads(judging(project.slug, "--quality", "--json"))
    assert row["noise"]["k"] == 10 and row["name"] == "annotator"
    known = tmp_path / "gold.txt"
    known.write_text(f"{others['own'][0].key}, yes\n")
    said = judging(project.slug, "--known", str(known), "--gold", "5", "--repeat", "2.5", "--own", "show")
    assert "1 gold item added" in said and "7.5 % are checks" in said
    mix = CheckMix.objects.get()
    assert mix.own_shown and (mix.gold_share, mix.repeat_share) == (0.05, 0.025)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "no project 'nothing'"),
        (["--plan", "0"], "half width"),
        (["--plan", "5", "--confidence", "100"], "confidence"),
        (["--plan", "5", "--judge", "99"], "Judge 99"),
        (["--gold", "80"], "at most 50%"),
        (["--control", "5"], "Say which controls"),
        (["--known", "/no/such/file"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(project, arguments, sentence):
    named = arguments if arguments == ["nothing"] else [project.slug, *arguments]
    with pytest.raises(CommandError, match=sentence):
        judging(*named)
    assert not CheckMix.objects.exists()
