"""The report on the released labels against the known answers, and on made-up ones."""

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.storing import tables_analyse
from labelapp.autolabel.audits import findings, source_get
from labelapp.exchange.models import Import
from labelapp.figures.report import judge_reported, report
from labelapp.judgements.models import Judge, Judgement, Verification
from labelapp.judgements.rules import RULES
from labelapp.statistics.estimation import wilson_interval
from labelapp.statistics.labels import is_generic
from tests.exchange.released_files import ALL, merged_write, pairs_write
from tests.factories import DirectionFactory, machine_says
from workers.llm.parsing import label_of

pytestmark = pytest.mark.django_db

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpt3-labels"
released = pytest.mark.skipif(not RELEASED.is_dir(), reason="the released GPT-3 labels are not beside the project")

# Model, circuit, n, labeler, verifier, both: counted from the released files by another program.
SLICES = [
    ("gpt2-small", "mlp_in", 360, 299, 261, 216),
    ("gpt2-small", "mlp_out", 360, 267, 249, 169),
    ("gpt2-medium", "mlp_in", 720, 618, 515, 446),
    ("gpt2-medium", "mlp_out", 720, 578, 464, 355),
    ("gpt2-large", "mlp_in", 1080, 942, 807, 709),
    ("gpt2-large", "mlp_out", 1080, 934, 746, 628),
]
AUDITS = {
    "truncated": [46, 40, 112, 104, 169, 197],
    "truncated_certain": [2, 8, 12, 16, 11, 22],
    "word_cap": [30, 29, 88, 77, 111, 135],
    "generic": [65, 93, 103, 160, 141, 218],
    "generic_strict": [48, 46, 74, 81, 104, 122],
    "null_accepted": [45, 80, 69, 109, 98, 118],
    "contradiction": [16, 13, 33, 33, 40, 28],
    "exemplar_echo": [8, 23, 7, 24, 13, 43],
    "unparsed": [0, 0, 0, 0, 1, 0],
}
FIRST_AND_LAST = [(0.544, 0.789), (0.367, 0.500), (0.472, 0.728), (0.311, 0.533), (0.559, 0.726), (0.459, 0.567)]


def printed(capsys, *options):
    capsys.readouterr()
    call_command("report", *options)
    return capsys.readouterr().out


@released
def test_the_released_labels_give_the_known_answers(capsys):
    call_command("import_labels", str(RELEASED))
    found = report(judge_reported())
    shares = [it.share for it in found.slices]
    assert [(it.name, it.circuit, it.share.n, *it.share.yes[:3]) for it in found.slices] == SLICES
    assert (found.whole.n, found.whole.yes) == (4320, [3638, 3042, 2523, 2011])
    assert [round(found.whole.fraction(rule), 4) for rule in RULES] == [0.8421, 0.7042, 0.5840, 0.4655]
    assert [round(end, 4) for end in wilson_interval(2523, 4320)] == [0.5693, 0.5986]
    cells = found.cells
    assert cells["interpretable", "yes"] == 2523 and cells["not_interpretable", "yes"] == 519
    assert (cells["interpretable", "no"], cells["interpretable", "unparsed"]) == (1114, 1)
    assert cells["not_interpretable", "no"] == 163 and cells.total() == 4320
    zero, rest = found.where(lambda it: it.index == 0), found.where(lambda it: it.index != 0)
    assert [round(it.fraction("verifier"), 3) for it in (zero, rest)] == [0.528, 0.710]
    assert [round(it.fraction("both"), 3) for it in (zero, rest)] == [0.306, 0.594]
    quarters = [
        tuple(round(it.quarter(last=last).fraction("both"), 3) for last in (False, True)) for it in found.slices
    ]
    assert quarters == FIRST_AND_LAST
    repeated = found.repeated["both"]
    assert (repeated.sets, repeated.directions, repeated.pairs) == (13, 61, 217)
    assert (round(repeated.agreement, 3), round(repeated.alpha, 3)) == (0.682, 0.219)
    assert sum(share.n for share in shares) == 4320

    printed_json = json.loads(printed(capsys, "--json"))
    assert printed_json["slices"] == [
        dict(zip(("model", "circuit", "n", *RULES), (*row, it.share.yes[3]), strict=True))
        for row, it in zip(SLICES, found.slices, strict=True)
    ]
    assert printed_json["audits"] == [
        {"audit": audit, "model": model, "circuit": circuit, "count": count}
        for audit, counts in AUDITS.items()
        for (model, circuit, *_), count in zip(SLICES, counts, strict=True)
    ]
    # Not in the report: what docs/import.md says of the wide list of function words, and of labels as a run reads them.
    source = source_get(f"import:{Import.objects.get().pk}")
    found = findings(source).found
    assert len(found["truncated_function_word"]) == 203
    assert found["truncated_certain"].keys() < found["truncated_function_word"].keys() < found["truncated"].keys()
    answers = Judgement.objects.filter(verdict="interpretable").values_list("evidence__answer", flat=True)
    assert sum(is_generic(label_of(answer)) for answer in answers) == 782


@released
def test_the_rule_verifier_is_what_the_released_arrays_hold():
    """An oracle of other people's making: 1 where the verifier said yes, 0 where no, -1 for the unparsed one."""
    call_command("import_labels", str(RELEASED / "json_data"))
    for part in report(judge_reported()).slices:
        size, end = part.name.removeprefix("gpt2-"), part.circuit.removeprefix("mlp_")
        array = np.load(RELEASED / f"verifier_mlp_{end}_gpt2_{size}_verifier_svd_corrects_list.npy")
        for it in part.lines:
            verdict = {"interpretable": 1, "not_interpretable": 0, "unparsed": -1}[it.verdicts["verifier"]]
            assert verdict == array[it.answered.layer, it.answered.index]


def test_what_was_just_imported_is_planned_for_at_its_size(tmp_path):
    """Planned for empty tables, the report joins row by row: minutes in place of seconds."""
    tables_analyse(Direction)  # on SQLite it does nothing
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as after an import that was undone
        call_command("import_labels", str(pairs_write(tmp_path / "labels")))
        for model in (Matrix, Direction, Judgement, Verification):
            cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [model._meta.db_table])
            assert cursor.fetchone() == (model.objects.count(),)


def test_made_up_labels_by_slice(tmp_path, capsys):
    call_command("import_labels", str(pairs_write(tmp_path / "labels")))
    call_command("import_labels", str(merged_write(tmp_path / "xl", size="xl", end="out", layers={47: ALL})))
    found = json.loads(printed(capsys, "--json").splitlines()[-1])
    assert set(found) == {"slices", "audits"}
    assert found["slices"] == [
        {"model": "gpt2-small", "circuit": "mlp_in", "n": 8, "labeler": 6, "verifier": 5, "both": 4,
         "both_specific": 2},
        {"model": "gpt2-xl", "circuit": "mlp_out", "n": 6, "labeler": 4, "verifier": 3, "both": 2, "both_specific": 1},
    ]  # fmt: skip
    counts = {(it["audit"], it["model"]): it["count"] for it in found["audits"]}
    assert counts["truncated_certain", "gpt2-xl"] == counts["unparsed", "gpt2-small"] == 1
    assert counts["generic", "gpt2-small"] == 2 and counts["null_accepted", "gpt2-xl"] == 1
    text = printed(capsys)
    assert "both@1: the labeler names a meaning and the verifier says yes (the default)" in text
    assert "labeler names a meaning" in text and "Krippendorff" in text
    assert json.loads(printed(capsys, "--json", "--source", f"import:{Import.objects.first().pk}"))["slices"] == found[
        "slices"
    ][:1]  # fmt: skip


def test_same_lists_in_another_order_are_one_set(tmp_path):
    same = [("b, a, c", ALL[0][1], "yes"), ("a, b, c", ALL[0][1], "yes"), ("c, b, a", ALL[0][1], "no")]
    call_command("import_labels", str(merged_write(tmp_path / "labels", layers={0: [*same, ALL[1]]})))
    found = report(judge_reported()).repeated
    assert (found["both"].sets, found["both"].directions, found["both"].pairs) == (1, 3, comb(3, 2))
    assert found["both"].agreement == pytest.approx(1 / 3) and found["labeler"].agreement == 1
    assert found["labeler"].alpha is None  # nothing to disagree on


def test_a_judge_without_a_verifier_has_no_counts_under_its_rules(capsys):
    machine_says({DirectionFactory(): "interpretable", DirectionFactory(): "failed"})
    (found,) = json.loads(printed(capsys, "--json"))["slices"][:1]
    assert (found["labeler"], found["verifier"], found["both"]) == (1, None, None)
    assert "–" in printed(capsys)


def test_nothing_to_report_is_said_in_a_sentence(tmp_path):
    with pytest.raises(CommandError, match="No machine has judged anything yet"):
        call_command("report")
    call_command("import_labels", str(pairs_write(tmp_path / "labels")))
    with pytest.raises(CommandError, match="There is no machine judge 'nobody'"):
        call_command("report", "--judge", "nobody")
    with pytest.raises(CommandError, match=r"Nothing stands of .* from run:9"):
        call_command("report", "--source", "run:9")
    assert report(judge_reported(str(Judge.objects.first().pk))).whole.n == 8
