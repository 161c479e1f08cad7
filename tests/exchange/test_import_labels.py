"""Released labels in both published forms, without weights; damaged and foreign folders."""

import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.services import model_register
from labelapp.exchange.imports import labels_import, labels_read
from labelapp.exchange.models import Import
from labelapp.judgements.models import Judge, Judgement, Summary, Verification
from labelapp.judgements.services import summaries_verify
from tests.atlas.results import INFO, matrix_result, store
from tests.exchange.released_files import ALL, ANIMALS, CUT, VERBS, merged_write, pairs_write

pytestmark = pytest.mark.django_db


def run(folder, *options):
    call_command("import_labels", str(folder), *options)


def stored():
    """All that an import writes, without ids and times."""
    return {
        "models": list(Model.objects.values_list("name", "revision", "is_default", "n_layers", "circuits")),
        "readouts": [(str(it.key), it.tokens, it.scores, it.singular_value) for it in
                     Direction.objects.select_related("matrix__model").order_by("pk")],
        "judgements": list(Judgement.objects.order_by("pk").values_list(
            "direction__index", "judge__name", "verdict", "label", "evidence", "tokens_shown", "verifications__answer",
        )),
    }  # fmt: skip


def nothing_stored():
    return not any(
        it.objects.exists() for it in (Model, Matrix, Direction, Judge, Judgement, Verification, Import, Summary)
    )


@pytest.mark.parametrize("write", [pairs_write, merged_write])
def test_both_forms_bring_the_same(tmp_path, write):
    run(write(tmp_path / "labels"))
    found = stored()
    assert found["models"] == [("gpt2-small", "released", True, 12, ["mlp_in"])]
    assert [key for key, *_ in found["readouts"]] == [
        *(f"gpt2-small/mlp_in.0/{n}+" for n in range(6)),
        *(f"gpt2-small/mlp_in.1/{n}+" for n in range(2)),
    ]
    assert found["readouts"][0][1:] == (["Dog", "dog", ",", "cat"], None, None)  # a token can be a comma
    assert found["judgements"][0] == (
        0, "text-davinci-002, released", "interpretable", "relate to animals",
        {"answer": ANIMALS[1], "verifier_answer": "yes"}, 4, "yes",
    )  # fmt: skip
    assert [row[2] for row in found["judgements"][2:6]] == [
        "interpretable", "not_interpretable", "not_interpretable", "interpretable",
    ]  # fmt: skip
    assert found["judgements"][5][4]["verifier_answer"] == "a group \nanswer"
    assert found["judgements"][5][-1] == "unparsed"
    assert summaries_verify() == []
    assert {it.rule for it in Summary.objects.all()} == {"labeler", "verifier", "both", "both_specific"}


def test_json_data_below_the_folder_is_found_and_the_forms_may_stand_side_by_side(tmp_path):
    pairs_write(tmp_path / "labels")
    merged_write(tmp_path / "labels" / "json_data", end="out")
    merged_write(tmp_path / "labels" / "json_data")
    run(tmp_path / "labels")
    assert Model.objects.get().circuits == ["mlp_in", "mlp_out"]
    assert Direction.objects.count() == 16
    assert {it.side for it in Direction.objects.filter(matrix__circuit="mlp_out")} == {"write"}


def test_a_second_import_changes_nothing(tmp_path, capsys):
    run(pairs_write(tmp_path / "labels"))
    before = stored()
    run(tmp_path / "labels")
    run(merged_write(tmp_path / "merged"))
    assert stored() == before and Import.objects.count() == 1
    assert "stored already; nothing was changed" in capsys.readouterr().out


def test_xl_with_some_layers_and_then_with_more(tmp_path):
    run(pairs_write(tmp_path / "xl", size="xl", layers={7: [ANIMALS], 41: [VERBS]}))
    model = Model.objects.get()
    assert (str(model), model.n_layers, model.d_model) == ("gpt2-xl", 48, 1600)
    assert set(Matrix.objects.values_list("address", flat=True)) == {"mlp_in.7", "mlp_in.41"}
    run(pairs_write(tmp_path / "xl", size="xl", layers={7: [ANIMALS, CUT], 41: [VERBS], 47: [CUT]}))
    assert Matrix.objects.count() == 3 and Direction.objects.count() == 4 and Model.objects.count() == 1
    assert Matrix.objects.get(address="mlp_in.7").n_vectors == 2
    assert [it.n_judgements for it in Import.objects.order_by("pk")] == [2, 2]
    assert summaries_verify() == []


def test_a_size_that_nobody_knows_has_the_layers_that_are_there(tmp_path):
    run(merged_write(tmp_path / "labels", size="tiny", layers={0: [ANIMALS], 3: [ANIMALS]}))
    model = Model.objects.get()
    assert (model.name, model.n_layers, model.n_heads, model.has_weights) == ("gpt2-tiny", 4, 0, False)


def test_another_language_model_is_another_judge_on_the_same_readouts(tmp_path):
    run(pairs_write(tmp_path / "labels"))
    run(tmp_path / "labels", "--llm", "davinci")
    assert Direction.objects.count() == 8 and Judgement.objects.count() == 16
    assert Judge.objects.count() == 4  # two labelers, two verifiers


def test_weights_and_labels_live_side_by_side(tmp_path):
    """Whichever comes first has the plain name; neither touches the other's directions."""
    run(pairs_write(tmp_path / "labels"))
    model = model_register(INFO, name="gpt2-small")
    store(model, matrix_result(circuit="mlp_in", layer=0, head=None, sides=("read",)))
    assert sorted(map(str, Model.objects.all())) == ["gpt2-small", "gpt2-small@abc1234"]
    run(pairs_write(tmp_path / "labels", layers={0: ALL, 1: ALL[:2], 2: ALL}))
    assert Direction.objects.filter(matrix__model=model).count() == 8
    assert Direction.objects.filter(matrix__model__weights_hash="").count() == 14


def test_after_the_weights_the_labels_have_the_revision_in_their_keys(tmp_path):
    model_register(INFO, name="gpt2-small")
    run(pairs_write(tmp_path / "labels"))
    assert str(Direction.objects.first()) == "gpt2-small@released/mlp_in.0/0+"
    with pytest.raises(CommandError, match="stored with its weights"):
        run(tmp_path / "labels", "--revision", INFO.revision)
    assert Import.objects.count() == 1


def _no_json(folder):
    (folder / "verifier_mlp_in_gpt2_small_svd_prompts_outputs.json").write_text('{"layer_0": {')


def _cut_bytes(folder):
    path = folder / "verifier_mlp_in_gpt2_small_svd_prompts_outputs.json"
    path.write_bytes(path.read_bytes()[:50] + b"\xff")


def _without_verifier(folder):
    (folder / "verifier_mlp_in_gpt2_small_verifier_svd_prompts_outputs.json").unlink()


def _edited(folder, edit):
    path = folder / "verifier_mlp_in_gpt2_small_verifier_svd_prompts_outputs.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def _without_one_answer(folder):
    _edited(folder, lambda it: it["layer_0"].pop("singval_3"))


def _other_tokens(folder):
    _edited(folder, lambda it: it["layer_0"]["singval_1"].update(test_str="other, tokens"))


def _no_text(folder):
    _edited(folder, lambda it: it["layer_0"]["singval_1"].update(out_text=7))


def _odd_name(folder):
    _edited(folder, lambda it: it.update(layer_x={}))


def _a_list(folder):
    (folder / "verifier_mlp_in_gpt2_small_svd_prompts_outputs.json").write_text("[1, 2]")


def _forms_disagree(folder):
    merged_write(folder, layers={0: [VERBS]})


def _layer_beyond(folder):
    pairs_write(folder, end="out", layers={0: [ANIMALS], 12: [ANIMALS]})


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_no_json, "is no JSON"),
        (_cut_bytes, "cannot be read"),
        (_without_verifier, "is missing beside"),
        (_without_one_answer, "lacks layer 0, index 3"),
        (_other_tokens, "has other tokens"),
        (_no_text, "has no text under 'out_text'"),
        (_odd_name, "'layer_x' is not named like layer_0"),
        (_a_list, "is no JSON object"),
        (_forms_disagree, "The two forms .* disagree on gpt2-small/mlp_in.0/0"),
        (_layer_beyond, "has the layers 0 to 11, not 12"),
    ],
)
def test_a_damaged_folder_gets_one_sentence_and_nothing_is_stored(tmp_path, damage, sentence):
    folder = pairs_write(tmp_path / "labels")
    damage(folder)
    with pytest.raises(CommandError, match=sentence):
        run(folder)
    assert nothing_stored()


def test_a_foreign_folder_gets_one_sentence(tmp_path):
    (tmp_path / "README.md").write_text("hello")
    for folder, sentence in ((tmp_path, "holds no released labels"), (tmp_path / "none", "is no folder")):
        with pytest.raises(CommandError, match=sentence):
            run(folder)
    with pytest.raises(CommandError, match="Name the language model"):
        run(pairs_write(tmp_path / "labels"), "--llm", " ")
    with pytest.raises(CommandError, match="cannot be a revision"):
        run(pairs_write(tmp_path / "labels"), "--revision", "A/B")
    assert nothing_stored()


def test_a_failure_in_the_middle_stores_nothing(tmp_path):
    entries = labels_read(pairs_write(tmp_path / "labels"))

    def fail(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labels_import(entries, name="labels", on_row=fail)
    assert nothing_stored()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("Dog, dog, ,, cow", *ANIMALS[1:]), "is stored with other tokens"),
        ((ANIMALS[0], "most of these words are pets.", "yes"), "is stored with another answer"),
        ((*ANIMALS[:2], "no"), "is stored with another answer"),
    ],
)
def test_other_content_under_the_same_keys_is_refused(tmp_path, changed, sentence):
    run(pairs_write(tmp_path / "labels"))
    before = stored()
    with pytest.raises(CommandError, match=sentence):
        run(pairs_write(tmp_path / "labels", layers={0: [changed, *ALL[1:]], 1: ALL[:2], 2: ALL}))
    assert stored() == before and Import.objects.count() == 1


def test_odd_characters_in_answers_survive(tmp_path):
    odd = ("a\x00b, \u202e, <script>, =cmd()", "most of these words are \x00<b>odd</b>\n " + "long " * 60, "yes\x00")
    run(merged_write(tmp_path / "labels", layers={0: [odd]}))
    judgement = Judgement.objects.get()
    assert judgement.direction.tokens == ["a\x00b", "\u202e", "<script>", "=cmd()"]
    assert judgement.label.startswith("\\x00<b>odd</b> long") and len(judgement.label) <= 200
    assert judgement.evidence["answer"].startswith("most of these words are \\x00")
    assert judgement.verifications.get().answer == "unparsed"
