"""What each kind of figure computes, beside an independent route to the same number."""

import numpy as np
import pytest
from scipy import stats

from labelapp.atlas.models import Direction
from labelapp.figures.estimates import estimates, resolve
from labelapp.figures.kinds import KINDS
from labelapp.figures.kinds.rules import FRACTION, verdict_on
from labelapp.figures.query import Query
from labelapp.figures.report import report
from labelapp.figures.services import is_heavy
from labelapp.judgements.models import Judgement, Summary
from labelapp.judgements.services import Draft, judge_ensure, judgements_record_new
from labelapp.labelling.models import Item
from labelapp.review.crossed import crossed
from labelapp.review.selectors import comparison
from labelapp.statistics.clusters import clustered_share
from tests.factories import DirectionFactory, MatrixFactory
from tests.figures.conftest import NO, UNPARSED, YES, Census

pytestmark = pytest.mark.django_db


def computed(name, **changes):
    return KINDS[name].compute(resolve(Query(**changes)))


def points(name, source=None, **changes):
    return [it for it in computed(name, **changes).points if source in (None, it.source)]


def told(census, **where):
    """What the machine said, the two ends of a vector beside each other."""
    ends = Direction.objects.filter(**where).order_by("matrix_id", "index", "sign").values_list("pk", flat=True)
    return np.array([float(census.said[pk]) for pk in ends])


# Along an axis


def test_by_index_over_all_layers(census):
    found = points("indices", "machine")
    assert [it.index for it in found] == list(range(20))
    for it in found:
        ends = told(census, index=it.index)
        assert (it.yes, it.n) == (ends.sum(), len(ends)) and it.value == pytest.approx(ends.mean())


def test_people_are_pooled_over_indices_that_double(census, owner):
    project = census.project(owner)
    found = points("indices", "person", project=project.slug)
    assert [it.name for it in found] == [
        "index 0",
        "index 1",
        "index 2 to 3",
        "index 4 to 7",
        "index 8 to 15",
        "index 16 to 31",
    ]
    assert [it.n for it in found] == [8, 8, 16, 32, 64, 32]
    truths = [census.truth[pk] for pk in Direction.objects.filter(index__in=(2, 3)).values_list("pk", flat=True)]
    assert found[2].value == pytest.approx(np.mean(truths))


def test_by_model_and_circuit():
    census = Census(circuits=("mlp_in", "mlp_out"))
    found = {it.name: it for it in points("models", "machine")}
    assert set(found) == {"tiny", "tiny MLP-in", "tiny MLP-out"}
    assert found["tiny MLP-out"].value == pytest.approx(told(census, matrix__circuit="mlp_out").mean())
    assert found["tiny"].value == pytest.approx(told(census).mean())


def test_fraction_of_depth_goes_from_0_to_1(census):
    assert [it.depth for it in points("layers", "machine")] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_sentence_by_index_is_that_of_the_best_source(census, owner):
    """The first bin that people have enough labels in, against all behind it; without people the first index."""
    alone = computed("indices", project="none")
    first, rest = told(census, index=0), [float(census.said[pk]) for pk in ends_of(index__gt=0)]
    assert f"{100 * first.mean():.1f} % at index 0 (" in alone.sentence and "no person took part" in alone.sentence
    vectors = [tuple(it) for it in Direction.objects.filter(index__gt=0).values_list("matrix_id", "index")]
    share = clustered_share([census.said[pk] for pk in ends_of(index__gt=0)], vectors)
    expected = (
        f"{100 * np.mean(rest):.1f} % over the 19 indices after it ({100 * share.low:.1f} to {100 * share.high:.1f})"
    )
    assert expected in alone.sentence and alone.sentence.startswith("Ends interpretable by direction index")

    project = census.project(owner)
    found = computed("indices", project=project.slug)
    bins = [it for it in found.points if it.source == "corrected" and it.value is not None]
    assert bins[0].name == "index 2 to 3"  # 8 labels each at 0 and 1
    assert f"{100 * bins[0].value:.1f} % at index 2 to 3" in found.sentence and "no person" not in found.sentence
    behind = estimates(Query(project=project.slug, index="4-19")).recommended.estimate
    assert f"{100 * behind.value:.1f} % over the 16 indices after it" in found.sentence
    assert f"({100 * behind.low:.1f} to {100 * behind.high:.1f})" in found.sentence
    assert "160 labels" in found.sentence and "corrected by machine" in found.sentence


def ends_of(**where):
    return Direction.objects.filter(**where).values_list("pk", flat=True)


# Distribution


def test_shares_add_up_and_open_answers_are_no_nos(census, owner):
    matrix = MatrixFactory(model=census.model, circuit="mlp_in", head=None, layer=0, address="mlp_in.0;x", basis_seed=0)
    census.machine_says({DirectionFactory(matrix=matrix, index=n).pk: UNPARSED for n in range(5)})
    project = census.project(owner, n=50)
    for source, total in (("machine", 165), ("person", 50)):
        found = points("judgements", source, project=project.slug)
        assert sum(it.value for it in found) == pytest.approx(1) and sum(it.yes for it in found) == total
    machine = {it.name: it.yes for it in points("judgements", "machine", project="none")}
    assert machine["unparsed"] == 5
    assert "5 " not in computed("judgements", project="none").sentence or "unparsed" in computed("judgements").sentence


def test_exploration_items_are_in_no_share_of_people(census, owner):
    """They were picked, not drawn: only the others are counted, and the note says how many are not."""
    project = census.project(owner, n=50)
    picked = list(Item.objects.filter(project=project).order_by("position").values_list("pk", flat=True)[:12])
    Item.objects.filter(pk__in=picked).update(exploration=True, inclusion_probability=None)
    drawn = Item.objects.filter(project=project, exploration=False).values_list("direction_id", flat=True)
    found = computed("judgements", project=project.slug)
    people = {it.name: it.yes for it in found.points if it.source == "person"}
    yes = sum(census.truth[pk] for pk in drawn)
    assert people == {"interpretable": yes, "not interpretable": 38 - yes}
    assert any(it.startswith("Left out: 12 judgements of people on exploration items") for it in found.notes)
    Judgement.objects.filter(judge=census.judge).update(current=False)
    Summary.objects.all().delete()
    Item.objects.filter(project=project).update(exploration=True, inclusion_probability=None)
    assert "no inclusion probability" in computed("judgements", project=project.slug).refusal


# Rules


@pytest.fixture
def prompt(census):
    """A labeler with a verifier over the census: four rules."""
    labeler, verifier = (judge_ensure(type="prompt", name=name, parameters={"n": name}) for name in ("L", "V"))
    rng = np.random.default_rng(8)
    answers = {pk: ("yes" if rng.random() < 0.6 else "no") for pk in census.said}
    drafts = [Draft(pk, YES if n % 5 else NO, "verbs" if n % 2 else "animals") for n, pk in enumerate(census.said)]
    judgements_record_new(judge=labeler, source="run:2", drafts=drafts, verifier=verifier, verifications=answers)
    said = {it.direction_id: (it.verdict == YES, answers[it.direction_id] == "yes", it.label) for it in drafts}
    return labeler, said


def test_every_rule_is_counted_and_what_hangs_on_it_is_said(census, prompt):
    labeler, said = prompt
    found = computed("rules", judge=labeler.pk)
    shares = {it.rule: it.value for it in found.points if it.name == "the fraction interpretable"}
    where = {pk: place for pk, *place in Direction.objects.values_list("pk", "matrix_id", "index")}
    vectors = [tuple(where[pk]) for pk in said]
    named_, verified = (np.array([it[place] for it in said.values()]) for place in (0, 1))
    specific = np.array([it[2] != "verbs" for it in said.values()])
    assert shares == pytest.approx(
        {
            "labeler@1": named_.mean(),
            "verifier@1": verified.mean(),
            "both@1": (named_ & verified).mean(),
            "both_specific@1": (named_ & verified & specific).mean(),
        }
    )
    least, most = (clustered_share(it, vectors) for it in (named_ & verified & specific, named_))
    for share, rule in ((least, "both_specific@1"), (most, "labeler@1")):
        ends = f"95 % interval {100 * share.low:.1f} to {100 * share.high:.1f}"
        assert f"{100 * share.value:.1f} % ({rule}; n = 160; {ends})" in found.sentence
    assert found.sentence.startswith("Of ends, by the rule")
    assert not any("different numbers" in it for it in found.notes)
    # Looked at end by end, the rules come to the same as from the summaries.
    for part in ("0-9", "10-19"):
        computed("rules", judge=labeler.pk, index=part)
    ends = [computed("rules", judge=labeler.pk, index=part) for part in ("0-9", "10-19")]
    for rule in shares:
        yes = [
            it.yes for one in ends for it in one.points if it.rule == rule and it.name == "the fraction interpretable"
        ]
        assert sum(yes) == pytest.approx(shares[rule] * len(said))


@pytest.mark.parametrize("index", ["", "0-99"])
def test_the_labelers_no_is_a_no_wherever_it_is_looked_at(census, owner, index):
    """The verifier is asked about labels alone. Summaries, single ends, people's sample, comparison and report count
    the same, and the rules have the same n where all labels were verified."""
    parameters = {"labeler": "a", "verifier": "b"}
    labeler, verifier = (judge_ensure(type="prompt", name=name, parameters=parameters | {"r": name}) for name in "LV")
    named = [pk for n, pk in enumerate(census.said) if n % 5]
    answers = {pk: "yes" if n % 3 else "no" for n, pk in enumerate(named)}
    drafts = [Draft(pk, YES if pk in answers else NO, "animals" if pk in answers else "") for pk in census.said]
    judgements_record_new(judge=labeler, source="run:2", drafts=drafts, verifier=verifier, verifications=answers)
    verdicts = {pk: answers.get(pk) == "yes" for pk in census.said}
    project = census.project(owner, n=60)
    query = Query(judge=labeler.pk, rule="both", project=project.slug, index=index)
    found = estimates(query)
    assert (found.census.interpretable, found.census.n) == (sum(verdicts.values()), len(verdicts))
    assert {it.direction: it.machine == YES for it in found.sample.rows} == {
        it.direction: verdicts[it.direction] for it in found.sample.rows
    }
    assert {it.machine for it in found.sample.rows} == {YES, NO}
    for unit, of_ends in (("either", any), ("both", all)):
        ends = {}
        for pk, *vector in Direction.objects.filter(pk__in=verdicts).values_list("pk", "matrix_id", "index"):
            ends.setdefault(tuple(vector), []).append(verdicts[pk])
        assert estimates(query.change(unit=unit)).census.interpretable == sum(map(of_ends, ends.values()))
    (machine,) = [it for it in comparison(project).rules if it == labeler.pk]
    told = {pk: one.verdict == YES for pk, said in comparison(project).machines.items() for one in said
            if one.judge.pk == machine}  # fmt: skip
    assert told == {pk: verdicts[pk] for pk in told} and len(told) == 60
    (table,) = [it for it in crossed(project, None).tables if it.judge == labeler]
    assert table.crossing.n == 60 and table.rule.name == "both"
    assert report(labeler).whole.fraction("both") == found.census.interpretable / found.census.n
    rules = KINDS["rules"].compute(resolve(query))
    n = {it.rule: it.n for it in rules.points if it.name == FRACTION and it.source == "machine"}
    assert n["both@1"] == n["both_specific@1"] == n["labeler@1"] == len(verdicts) and n["verifier@1"] == len(named)
    assert any("different numbers of units" in it for it in rules.notes)


def test_a_contrast_is_newcombes_with_the_variance_over_vectors():
    """Last against first quarter of layers: method 10 of Newcombe (1998), from Wilson's intervals by statsmodels, each
    with the n that has the variance over vectors."""
    from statsmodels.stats.proportion import proportion_confint

    census = Census(layers=8, vectors=30)
    (found,) = [it for it in points("rules") if it.name.startswith("last quarter")]
    first, last = told(census, matrix__layer__lt=2), told(census, matrix__layer__gte=6)
    ends = []
    for it in (last, first):
        p, pairs = it.mean(), it.reshape(-1, 2).sum(1)
        variance = ((pairs - 2 * p) ** 2).sum() / len(it) ** 2 * len(pairs) / (len(pairs) - 1)
        n = min(p * (1 - p) / variance, len(it))
        ends.append((it.mean(), *proportion_confint(it.mean() * n, n, method="wilson")))
    (p1, l1, u1), (p2, l2, u2) = ends
    assert found.value == pytest.approx(p1 - p2)
    assert found.low == pytest.approx(p1 - p2 - np.hypot(p1 - l1, u2 - p2))
    assert found.high == pytest.approx(p1 - p2 + np.hypot(u1 - p1, p2 - l2))
    assert verdict_on(found) == "holds"


# Trends


def test_a_trend_is_ppi_pythons_regression(owner):
    from ppi_py import ppi_ols_ci, ppi_ols_pointestimate

    census = Census(layers=5, vectors=40, signs="+")
    project = census.project(owner, n=90)
    found = {it.source: it for it in points("trends", project=project.slug, covariate="depth")}
    drawn = list(Item.objects.filter(project=project).values_list("direction_id", flat=True))
    depth = dict(Direction.objects.values_list("pk", "matrix__layer"))
    others = [pk for pk in census.said if pk not in set(drawn)]
    design, design_others = (
        np.column_stack([np.ones(len(it)), [depth[pk] / 4 for pk in it]]) for it in (drawn, others)
    )
    human, machine = (np.array([float(of[pk]) for pk in drawn]) for of in (census.truth, census.said))
    elsewhere = np.array([float(census.said[pk]) for pk in others])
    from labelapp.statistics.trends import trend

    tuning = trend(human, machine, design[:, 1], elsewhere, design_others[:, 1]).slope.tuning
    value = ppi_ols_pointestimate(design, human, machine, design_others, elsewhere, lam=tuning)
    low, high = ppi_ols_ci(design, human, machine, design_others, elsewhere, alpha=0.05, lam=tuning)
    assert found["corrected"].value == pytest.approx(value[1], abs=1e-9)
    # ppi-python takes the Hessian from the labelled alone, where ours is that of all.
    assert found["corrected"].high - found["corrected"].low == pytest.approx(high[1] - low[1], rel=0.05)
    everything = list(census.said)
    line = stats.linregress([depth[pk] / 4 for pk in everything], [float(census.said[pk]) for pk in everything])
    assert found["machine"].value == pytest.approx(line.slope) and found["machine"].low is None
    people = stats.linregress(design[:, 1], human)
    assert found["person"].value == pytest.approx(people.slope)


def test_a_machine_whose_error_has_a_trend_is_warned_of(owner):
    census = Census(layers=6, vectors=40, signs="+")
    Judgement.objects.all().delete()
    from labelapp.judgements.models import Summary

    Summary.objects.all().delete()
    layers = dict(Direction.objects.values_list("pk", "matrix__layer"))
    census.said = {pk: layers[pk] >= 3 for pk in census.said}
    census.machine_says({pk: YES if said else NO for pk, said in census.said.items()})
    census.truth = {pk: bool(pk % 2) for pk in census.truth}
    found = computed("trends", project=census.project(owner, n=150).slug)
    assert "error depends on this covariate" in found.extra["warning"]


def test_trends_refuse_unequal_probabilities_and_one_model(census, owner):
    project = census.project(owner, n=60)
    items = Item.objects.filter(project=project)
    items.filter(position__lt=20).update(inclusion_probability=0.9)
    found = computed("trends", project=project.slug)
    assert any("unequal probability" in it for it in found.notes)
    assert [it.source for it in found.points] == ["machine"]
    assert "Choose two models" in computed("trends", covariate="model").refusal


def test_circuits_and_models_against_each_other(owner):
    census = Census(circuits=("mlp_in", "mlp_out"), signs="+")
    (machine,) = points("trends", covariate="circuit")
    assert machine.value == pytest.approx(
        told(census, matrix__circuit="mlp_in").mean() - told(census, matrix__circuit="mlp_out").mean()
    )
    second = Census(name="second", seed=6, signs="+")
    (machine,) = points("trends", covariate="model", model=("tiny", "second"))
    assert "of ends interpretable differs by" in computed("trends", covariate="circuit").sentence
    assert "changes by" in computed("trends", covariate="depth").sentence
    first = [float(census.said[pk]) for pk in census.said]
    assert machine.value == pytest.approx(np.mean(list(second.said.values())) - np.mean(first))


# Bases


def test_bases_are_paired_by_matrix(census):
    for layer in range(4):
        matrix = MatrixFactory(
            model=census.model,
            circuit="mlp_in",
            head=None,
            layer=layer,
            basis="neuron",
            address=f"mlp_in.{layer};neuron",
        )
        census.judged(matrix, 15, share=0.2)
    found = {it.name: it for it in points("bases", basis="neuron")}
    pairs = np.array(
        [
            [told(census, matrix__layer=layer, matrix__basis=basis).mean() for basis in ("svd", "neuron")]
            for layer in range(4)
        ]
    )
    test = stats.ttest_rel(pairs[:, 0], pairs[:, 1])
    difference = found["difference, matrix by matrix"]
    assert difference.value == pytest.approx((pairs[:, 0] - pairs[:, 1]).mean()) and difference.n == 4
    assert (difference.low, difference.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert "rotated" in computed("bases", basis="rotated").refusal


# Calibration


def test_the_reliability_curve_is_scikit_learns(census, owner):
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import brier_score_loss

    project = census.project(owner, n=100)
    rng = np.random.default_rng(3)
    for row in Judgement.objects.filter(judge=census.judge):
        row.evidence = {"confidence": float(rng.random())}
        row.verdict = YES
        Judgement.objects.filter(pk=row.pk).update(evidence=row.evidence, verdict=YES)
    found = computed("calibration", project=project.slug)
    drawn = Item.objects.filter(project=project).values_list("direction_id", flat=True)
    given = dict(Judgement.objects.filter(judge=census.judge).values_list("direction_id", "evidence"))
    p = np.array([given[pk]["confidence"] for pk in drawn])
    human = np.array([float(census.truth[pk]) for pk in drawn])
    share, mean = calibration_curve(human, p, n_bins=10)
    assert [it.value for it in found.points] == pytest.approx(share)
    assert [it.index for it in found.points] == pytest.approx(mean)
    assert "neither has an interval" in found.sentence and "Over 100 ends" in found.sentence
    assert found.extra["brier"] == pytest.approx(brier_score_loss(human, p))
    assert "needs a project" in computed("calibration", project="none").refusal


# By a job


def test_many_labels_or_many_ends_are_work_for_a_job(census, owner, monkeypatch):
    project = census.project(owner, n=60)
    kind = KINDS["indices"]
    resolved = resolve(Query(project=project.slug))
    assert not is_heavy(kind, resolved)
    monkeypatch.setattr("labelapp.figures.services.MOST_ENDS_AT_ONCE", 100)
    assert is_heavy(kind, resolved) and not is_heavy(KINDS["layers"], resolved)
    assert is_heavy(KINDS["layers"], resolve(Query(project=project.slug, sign="+")))
    monkeypatch.setattr("labelapp.figures.services.MOST_LABELS_AT_ONCE", 50)
    assert is_heavy(KINDS["layers"], resolved)
