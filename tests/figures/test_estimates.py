"""Every estimate of a slice: against the formulas' own functions on arrays that the test gathers itself."""

from collections import defaultdict

import numpy as np
import pytest

from labelapp.atlas.models import Direction, Matrix
from labelapp.figures.census import added
from labelapp.figures.estimates import estimates, resolve
from labelapp.figures.kinds import KINDS
from labelapp.figures.query import Query
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import (
    Draft,
    judge_ensure,
    judgement_withdraw,
    judgements_record_new,
    verdicts_by_rule,
)
from labelapp.labelling.models import Item, Project
from labelapp.review.services import adjudicate
from labelapp.statistics.clusters import clustered_share
from labelapp.statistics.corrected import stratified_beta
from tests.factories import DirectionFactory, MatrixFactory
from tests.figures.conftest import NO, UNPARSED, UNSURE, YES, Census, by_method, query_of

pytestmark = pytest.mark.django_db


def arrays(census, project):
    """Human and machine verdicts on what was drawn, and the machine's on all."""
    drawn = Item.objects.filter(project=project).order_by("direction_id").values_list("direction_id", flat=True)
    return (
        np.array([float(census.truth[pk]) for pk in drawn]),
        np.array([float(census.said[pk]) for pk in drawn]),
        np.array([float(it) for it in census.said.values()]),
    )


def test_ppi_difference_and_wilson_are_those_of_independent_formulas(owner):
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
    from statsmodels.stats.proportion import proportion_confint

    census = Census(signs="+", vectors=40)
    project = census.project(owner, n=60)
    human, machine, everything = arrays(census, project)
    made = by_method(estimates(query_of(project)))
    drawn = set(Item.objects.filter(project=project).values_list("direction_id", flat=True))
    others = np.array([float(said) for pk, said in census.said.items() if pk not in drawn])
    tuning = made["PPI++"].tuning  # ppi-python divides by a variance with another ddof where it tunes itself
    point = ppi_mean_pointestimate(human, machine, others, lam=tuning)
    low, high = ppi_mean_ci(human, machine, others, alpha=0.05, lam=tuning)
    assert made["PPI++"].value == pytest.approx(float(point[0]), abs=1e-9)
    assert made["PPI++"].interval == pytest.approx((float(low[0]), float(high[0])), abs=1e-9)
    wilson = proportion_confint(int(human.sum()), len(human), method="wilson")
    assert made["human only (Wilson)"].interval == pytest.approx(wilson, abs=1e-12)
    slope = np.cov(human, machine, ddof=0)[0, 1] / machine.var()
    value = human.mean() - slope * (machine.mean() - everything.mean())
    assert made["finite-census difference"].value == pytest.approx(value, abs=1e-12)
    assert made["machine alone"].value == pytest.approx(everything.mean(), abs=1e-12)


def test_what_is_recommended_says_why_and_gains(owner):
    census = Census(signs="+", vectors=40)
    found = estimates(query_of(census.project(owner, n=60)))
    assert found.recommended.estimate.method == "stratified Beta" and "fewer than 200" in found.why
    assert found.recommended.source == "corrected" and found.recommended.estimate.gain > 1
    assert found.n_labels == 60 and found.census.total == 160 and 0 < found.correlation < 1


def test_the_two_ends_of_a_vector_are_kept_together(owner, census):
    project = census.project(owner)  # all of it, so both ends of every vector
    found = estimates(query_of(project, index="0-9"))
    assert "keeps them together" in found.why
    alone = by_method(found)["machine alone"]
    by_key = {it.pk: it for it in Direction.objects.filter(index__lt=10)}
    said = [float(census.said[pk]) for pk in by_key]
    vectors = [(it.matrix_id, it.index) for it in by_key.values()]
    expected = clustered_share(said, vectors)
    assert (alone.value, *alone.interval) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("rule", ["labeler", "both_specific"])
def test_vectors_are_counted_alike_in_summaries_and_within_matrices(census, rule):
    """Answers of two ends that go together, some without a yes or no, some of one end alone."""
    machine = judge_ensure(type="prompt", name="pairs", parameters={"pairs": 1})
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"pairs": 2})
    rng = np.random.default_rng(4)
    pks = [pk for pk in census.said if rng.random() < 0.8]
    labels = [str(it) for it in rng.choice(["animals", "nouns"], len(pks))]
    said = [str(it) for it in rng.choice(["interpretable", "not_interpretable", "unsure"], len(pks), p=[0.6, 0.3, 0.1])]
    judgements_record_new(
        judge=machine,
        source="run:2",
        drafts=[Draft(pk, verdict, label) for pk, verdict, label in zip(pks, said, labels, strict=True)],
        verifier=verifier,
        verifications={pk: str(rng.choice(["yes", "no", "unparsed"], p=[0.7, 0.2, 0.1])) for pk in pks},
    )
    query = Query(model=("tiny",), judge=machine.pk, rule=rule)
    whole, inside = estimates(query).census, estimates(query.change(index="0-99")).census
    assert whole == inside
    standing = Judgement.objects.filter(judge=machine).select_related("direction").prefetch_related("verifications")
    ends = defaultdict(list)
    for row in standing:
        ends[row.direction.matrix_id, row.direction.index].append(str(verdicts_by_rule(row)[rule]))
    pairs = [it.count(YES) for it in ends.values() if len(it) == 2 and set(it) <= {YES, NO}]
    assert (whole.ends_both, whole.ends_one, whole.ends_none) == tuple(pairs.count(it) for it in (2, 1, 0))
    assert min(pairs.count(it) for it in (2, 1, 0)) > 0


def test_a_selection_within_matrices_counts_judgements_and_agrees_with_the_summaries(owner, census):
    whole = estimates(Query(model=("tiny",)))
    ends = [estimates(Query(model=("tiny",), sign=sign)).census for sign in "+-"]
    indices = [estimates(Query(model=("tiny",), index=text)).census for text in ("0-9", "10-19")]
    for parts in (ends, indices):
        assert added(parts).verdicts == whole.census.verdicts
    assert added(ends).ends_both == 0 and added(indices) == whole.census


def test_the_census_is_what_the_design_drew_from(owner, census):
    """Another model's directions, or a layer stored later, are no part of it."""
    project = census.project(owner, n=40)
    Census(name="other", seed=5)
    late = MatrixFactory(model=census.model, circuit="ov", head=0, layer=3, address="ov.3.0")
    census.judged(late, 5)
    assert estimates(query_of(project)).census.total == 160
    assert estimates(Query(judge=census.judge.pk)).census.total == 330


def test_without_people_the_machine_stands_alone(owner, census):
    found = estimates(Query(project="none"))
    assert found.recommended.source == "machine" and "no person" in found.why.lower()
    assert found.recommended.estimate.value == pytest.approx(np.mean(list(census.said.values())))


def test_without_a_machine_people_stand_alone(owner):
    census = Census(signs="+")
    Project.objects.all()
    from labelapp.judgements.models import Judgement, Summary

    Summary.objects.all().delete()
    Judgement.objects.all().delete()
    project = census.project(owner, n=40)
    found = estimates(query_of(project))
    assert found.recommended.source == "person" and found.recommended.estimate.n == 40
    assert found.recommended.estimate.method == "human only (Wilson)"


def test_an_exploration_queue_makes_no_figure(owner, census):
    project = census.project(owner, n=40)
    Item.objects.filter(project=project).update(exploration=True, inclusion_probability=None)
    found = estimates(query_of(project))
    assert found.recommended.source == "machine" and "no sample" in found.why
    assert found.sample.left_out == {"of an exploration queue": 40}


def test_fewer_than_ten_labels_make_no_interval(owner, census):
    project = census.project(owner, n=40, judged=7)
    found = estimates(query_of(project))
    assert found.recommended.estimate.value is None and "too few" in found.recommended.estimate.why
    assert found.recommended.estimate.n == 7


def test_unsure_and_tied_are_left_out_and_counted(owner, annotator, census):
    project = census.project(owner, n=40, overlap=2)
    items = list(Item.objects.filter(project=project).order_by("position"))
    census.person_says(project, items[0].direction_id, owner, UNSURE)
    other = NO if census.truth[items[1].direction_id] else YES
    census.person_says(project, items[1].direction_id, annotator, other)
    found = estimates(query_of(project))
    assert found.n_labels == 38 and found.sample.left_out == {"unsure": 1, "tied": 1}
    first = estimates(query_of(project, truth="first"))
    assert first.n_labels == 39  # the second person's verdict does not count


def test_a_reviewers_decision_counts_before_the_majority(owner, census):
    project = census.project(owner, n=40)
    item = Item.objects.filter(project=project).order_by("position").first()
    before = estimates(query_of(project, truth="decided"))
    said = NO if census.truth[item.direction_id] else YES
    adjudicate(item=item, user=owner, verdict=said, label="words" if said == YES else "")
    after = estimates(query_of(project, truth="decided"))
    majority = estimates(query_of(project))
    yes = [sum(it.human for it in found.sample.rows) for found in (before, after, majority)]
    assert abs(yes[1] - yes[0]) == 1 and yes[2] == yes[0]


def test_what_the_machine_did_not_parse_is_a_stratum(owner):
    census = Census(signs="+", vectors=30)
    matrix = MatrixFactory(model=census.model, circuit="mlp_out", head=None, layer=0, address="mlp_out.0")
    ends = [DirectionFactory(matrix=matrix, index=index) for index in range(20)]
    census.machine_says({it.pk: UNPARSED for it in ends})
    census.truth |= {it.pk: True for it in ends}
    found = estimates(query_of(census.project(owner, n=100)))
    assert found.census.unparsed == 20 and found.recommended.estimate.method == "stratified Beta"
    assert "count as no in this formula" in by_method(found)["PPI++"].why


def test_unequal_probabilities_weigh(owner):
    """A stratified design that takes more of one layer: Hájek's ratio by hand."""
    census = Census(signs="+", vectors=60, layers=2)
    project = census.project(owner, n=60)
    items = Item.objects.filter(project=project)
    first = items.filter(direction__matrix__layer=0)
    first.update(inclusion_probability=0.9)
    items.exclude(pk__in=first.values("pk")).update(inclusion_probability=0.3)
    made = by_method(estimates(query_of(project)))
    pi = np.array(items.order_by("direction_id").values_list("inclusion_probability", flat=True), dtype=float)
    human, machine, everything = arrays(census, project)
    assert made["IPW human only (Hájek)"].value == pytest.approx((human / pi).sum() / (1 / pi).sum())
    total = everything.mean() + ((human - machine) / pi).sum() / len(everything)
    assert made["IPW difference (Horvitz-Thompson)"].value == pytest.approx(total)
    assert "unequal" in made["PPI++"].why
    assert estimates(query_of(project)).recommended.estimate.method == "stratified Beta"


def test_what_is_judged_so_far_of_a_census_is_a_sample(owner):
    """All items are drawn (π = 1), a third is judged: the interval must not vanish."""
    census = Census(signs="+", vectors=40)
    project = census.project(owner, judged=50)
    found = estimates(query_of(project))
    assert found.sample.completion == pytest.approx(50 / 160)
    assert found.recommended.estimate.width > 0.1


def test_controls_give_the_net_figure_of_people(owner):
    census = Census(signs="+", vectors=40)
    noise = MatrixFactory(
        model=census.model, circuit="mlp_in", head=None, layer=0, control="gaussian", address="mlp_in.0;gaussian"
    )
    census.judged(noise, 40, "+", share=0.2)
    project = census.project(owner, controls=("none", "gaussian"))
    found = estimates(query_of(project))
    controls = [census.truth[pk] for pk in Direction.objects.filter(matrix=noise).values_list("pk", flat=True)]
    assert found.control.source == "person" and found.control.estimate.value == pytest.approx(np.mean(controls))
    p, c = found.recommended.estimate.value, found.control.estimate.value
    assert found.net.estimate.value == pytest.approx((p - c) / (1 - c))
    assert len(found.sample.rows) == 160 and len(found.sample.controls) == 40
    machine = estimates(Query(judge=census.judge.pk, project="none"))
    told = [census.said[pk] for pk in Direction.objects.filter(matrix=noise).values_list("pk", flat=True)]
    assert machine.control.estimate.value == pytest.approx(np.mean(told))


def test_a_baseline_without_controls_is_net_of_its_level(owner, census):
    found = estimates(Query())
    assert found.control.estimate.value == 0.05
    p = found.recommended.estimate.value
    assert found.net.estimate.value == pytest.approx((p - 0.05) / 0.95)


@pytest.mark.parametrize(("unit", "of_ends"), [("either", any), ("both", all)])
def test_the_level_is_of_ends_and_vectors_are_net_of_what_was_measured(owner, census, unit, of_ends):
    """The baseline's level says nothing of vectors: without controls there is no net figure, with them their rate."""
    query = Query(unit=unit, judge=census.judge.pk)
    found, figure = estimates(query), KINDS["rules"].compute(resolve(query))
    assert found.control.estimate.value is None and found.net.estimate.value is None
    assert "--control gaussian" in found.net.estimate.why
    assert "above what noise passes" not in {it.name for it in figure.points}
    assert any("--control gaussian" in it for it in figure.notes)
    assert estimates(query.change(unit="ends")).control.estimate.value == 0.05

    noise = MatrixFactory(
        model=census.model, circuit="mlp_in", head=None, layer=0, control="gaussian", address="mlp_in.0;gaussian"
    )
    census.judged(noise, 40, "+-", share=0.2)
    ends = defaultdict(list)
    for pk, index in Direction.objects.filter(matrix=noise).values_list("pk", "index"):
        ends[index].append(census.said[pk])
    rate = np.mean([of_ends(it) for it in ends.values()])
    found, figure = estimates(query), KINDS["rules"].compute(resolve(query))
    assert found.control.estimate.value == pytest.approx(rate) and found.control.estimate.n == 40
    p = found.recommended.estimate.value
    assert found.net.estimate.value == pytest.approx((p - rate) / (1 - rate))
    (above,) = [it for it in figure.points if it.name == "above what noise passes"]
    assert above.value == pytest.approx(p - rate)


def test_a_prompt_without_controls_has_no_net_figure(owner):
    census = Census()
    census.judge = judge_ensure(type="prompt", name="prompt", parameters={})
    census.machine_says(dict.fromkeys(census.said, YES))
    found = estimates(Query())
    assert found.resolved.judge == census.judge  # language models come before baselines
    assert found.net.estimate.value is None and "control" in found.net.estimate.why


def test_vectors_need_a_project_that_draws_vectors(owner, census):
    drawn_as_ends = census.project(owner, n=40)
    found = estimates(query_of(drawn_as_ends, unit="either"))
    assert found.recommended.source == "machine" and "drew ends" in found.why
    vectors = census.project(owner, n=30, name="Vectors", ends="both")
    either, both = (estimates(query_of(vectors, unit=unit)) for unit in ("either", "both"))
    pairs = {}
    for pk, matrix, index in Direction.objects.filter(items__project=vectors).values_list("pk", "matrix_id", "index"):
        pairs.setdefault((matrix, index), []).append(census.truth[pk])
    assert either.n_labels == both.n_labels == 30
    assert sum(it.human for it in either.sample.rows) == sum(map(any, pairs.values()))
    assert sum(it.human for it in both.sample.rows) == sum(map(all, pairs.values()))
    assert either.census.total == 80 and either.census.interpretable > both.census.interpretable


def test_the_sentence_names_vectors_by_their_ends(owner, census):
    query = Query(project="none", judge=census.judge.pk)
    said = {unit: KINDS["estimates"].compute(resolve(query.change(unit=unit))).sentence for unit in ("either", "both")}
    assert (
        said["either"].startswith("Of 80 vectors (") and "% have an interpretable end (95 % interval" in said["either"]
    )
    assert "% have both ends interpretable (95 % interval" in said["both"]


def test_layers_as_a_sample_need_ten(owner):
    few = Census(layers=4, signs="+")
    found = estimates(query_of(few.project(owner, n=60), estimand="layers"))
    assert found.recommended.estimate.value is not None and found.recommended.estimate.low is None
    assert "layers are too few" in found.recommended.estimate.why
    many = Census(layers=12, signs="+", name="deep", seed=4)
    found = estimates(query_of(many.project(owner, n=120, name="Deep"), estimand="layers"))
    assert found.recommended.estimate.width > 0
    assert by_method(found)["bootstrap over layers"].low is not None


def test_names_are_resolved_once(owner, census):
    resolved = resolve(Query(project="nothing-of-this-name"))
    assert resolved.project is None and resolved.judge == census.judge and resolved.rule.name == "labeler"


def test_a_project_without_a_selection_has_no_census(owner, census):
    """Its sample may be of anything: people alone, and the sentence says of what the figure is."""
    from labelapp.labelling.projects.services import project_create

    project = project_create(name="Old", owner=owner, directions=Direction.objects.all(), guidelines="Judge.", n=40)
    before = KINDS["estimates"].compute(resolve(query_of(project)))
    assert "Of the 160 ends that the machine judged" in before.sentence and "this census" not in before.sentence
    for item in Item.objects.filter(project=project):
        census.person_says(project, item.direction_id, owner)
    found = estimates(query_of(project))
    assert found.recommended.source == "person" and "keeps no selection" in found.why
    assert not [it for it in found.lines if it.source == "corrected"]
    said = KINDS["estimates"].compute(found.resolved).sentence
    assert said.startswith("Of the 40 ends that people judged in Old") and "160" not in said
    assert "this census" not in said and "nobody can say what it stands for" in said


def run_over_a_few(census, project, n=12):
    """A second machine that judged only the first few of the project's items, and calls all of them interpretable."""
    machine = judge_ensure(type="prompt", name="a few", parameters={"few": 1})
    few = list(Item.objects.filter(project=project).order_by("position").values_list("direction_id", flat=True)[:n])
    drafts = [Draft(pk, YES, "animals") for pk in few]
    judgements_record_new(judge=machine, source="run:3", drafts=drafts)
    return machine, few


def test_a_machine_that_was_run_over_a_few_directions_corrects_nobody(owner, census):
    """It may have been run over the labelled, or over those on which people agree. It is not the usual one; where it is
    chosen, people stand alone, with the sentence."""
    project = census.project(owner, n=60)
    machine, _ = run_over_a_few(census, project)
    assert resolve(query_of(project)).judge == census.judge
    for estimand in ("census", "layers"):
        found = estimates(query_of(project, judge=machine.pk, estimand=estimand))
        assert (found.census.n, found.census.not_judged) == (12, 148)
        made = found.recommended.estimate
        assert made.method.startswith("human only") and made.n == 60 and made.width > 0.2
        assert "judged 12 of the 160" in found.why and "judged 12 of 160" in found.notes[0]
    query = query_of(project, judge=machine.pk)
    for kind in ("layers", "models", "indices", "rules", "trends"):
        computed = KINDS[kind].compute(resolve(query))
        sources = {it.source for it in computed.points}
        assert "corrected" not in sources and ("person" in sources or kind == "rules")
        assert kind == "rules" or any("judged 12 of the 160" in it for it in computed.notes)


def test_the_few_that_a_machine_has_left_out_are_a_stratum(owner, census):
    project = census.project(owner, n=60)
    gone = list(Item.objects.filter(project=project).order_by("position").values_list("direction_id", flat=True)[:4])
    for row in Judgement.objects.filter(judge=census.judge, direction__in=gone):
        judgement_withdraw(row)
    found = estimates(query_of(project))
    assert (found.census.n, found.census.not_judged, found.recommended.estimate.n) == (156, 4, 60)
    items = Item.objects.filter(project=project).order_by("direction_id").select_related("direction")
    expected = stratified_beta(
        [float(census.truth[it.direction_id]) for it in items],
        ["not judged" if it.direction_id in gone else int(census.said[it.direction_id]) for it in items],
        {1: found.census.interpretable, 0: found.census.not_interpretable, "not judged": 4},
        clusters=[(it.direction.matrix_id, it.direction.index) for it in items],
    )
    made = found.recommended.estimate
    assert (made.value, made.low, made.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert "stratum of their own" in found.notes[0]


def test_where_nothing_is_left_out_the_census_is_what_is_stored(census):
    for query in (Query(), Query(index="0-4"), Query(sign="+"), Query(layer="1,2")):
        assert estimates(query.change(model=("tiny",))).census.not_judged == 0
    Matrix.objects.filter(layer=3).update(n_vectors=25)
    assert estimates(Query(model=("tiny",))).census.not_judged == 10
