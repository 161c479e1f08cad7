"""Runs that measure the judge of another run: planned from what that run has said, and started.

A plan is `runs.Plan` with its items given, so that estimate, money, pacing, pausing and resuming are those of every
run. Order, repetition, wrong labels and detection measure and judge nothing; controls and contrasts are judgements on
those directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import Q

from labelapp.accounts.models import User
from labelapp.atlas.keys import CONTROLS, Variant, seeded
from labelapp.atlas.models import Direction
from labelapp.atlas.selection import NO_CONTROL, MatrixSelection
from labelapp.atlas.selectors import directions_in_key_order
from labelapp.atlas.services import Extent, decompose_more
from labelapp.autolabel.asking import options_from_json
from labelapp.autolabel.drawing import Readout, label_drawn, list_drawn, vectors_sample
from labelapp.autolabel.measured import Place, Said, place_of, run_said, statements_of, tokens_of
from labelapp.autolabel.models import PromptVersion, Run
from labelapp.autolabel.prompts import prompt_get, prompt_of
from labelapp.autolabel.providers import config_of, llm_get, price_get
from labelapp.autolabel.runs import Entry, Measurement, Plan, RunError, run_start
from labelapp.autolabel.selection import RunSelection, run_selection_from_json
from labelapp.jobs.models import OPEN, Job
from labelapp.jobs.services import JobError

Purpose = Run.Purpose
# So many directions are asked about, of controls and contrasts of each kind: an interval of some ± 7 points.
SAMPLE = 200
# Tokens of other directions are drawn from so many of them.
DONORS = 2000
CONTRASTS = ("rotated", "neuron")


@dataclass(frozen=True)
class Wanted:
    """A measurement that somebody asks for; `directions` None is all that there are. `detector` and `llm`
    (`PROVIDER:MODEL`, empty for the run's own) are for the detection alone.
    """

    purpose: Run.Purpose
    directions: int | None = SAMPLE
    detector: PromptVersion | None = None
    llm: str = ""


def measure_plan(run: Run, wanted: Wanted, *, user: User | None = None) -> Plan:
    """Raises RunError, a sentence, where there is nothing that could be measured."""
    measurable_check(run)
    maker = _MAKERS[wanted.purpose]
    earlier = Run.objects.filter(measured_run__judge=run.judge, purpose=wanted.purpose).count()
    plan = Plan(
        # Whatever the judge has judged since.
        selection=replace(run_selection_from_json(run.selection, run.model), not_judged=False),
        labeler=run.labeler,
        verifier=run.verifier,
        config=config_of(run.provider, run.llm),
        llm=run.llm,
        # Each time another order, other answers, another draw.
        options=replace(options_from_json(run.options), draw_seed=earlier),
        user=user,
    )
    made = maker(run, wanted, replace(plan, price=price_get(plan.config, plan.llm)))
    assert made.measurement is not None
    if not made.measurement.entries:
        why = "; ".join(f"{n} {reason}" for reason, n in made.measurement.left_out.items()) or "it answered nothing"
        raise RunError(f"Nothing of run {run.pk} can be asked about for this: {why}.")
    return made


def measurement_standing(run: Run, purpose: str) -> Run | None:
    """The same measurement where it is under way."""
    return run.measurements.filter(purpose=purpose, job__state__in=OPEN).order_by("-pk").first()


def measurement_start(plan: Plan, *, budget: int | None = None) -> Run:
    """Start a measurement; where the same one is not over yet, that one is returned. Raises RunError."""
    assert plan.measurement is not None
    run = plan.measurement.run
    with transaction.atomic():
        # Two clicks at once: the second one waits here and then finds the first one's run.
        Run.objects.select_for_update().get(pk=run.pk)
        return measurement_standing(run, plan.measurement.purpose) or run_start(plan, budget=budget)


def prompted_check(run: Run) -> None:
    """Raises RunError for a run that asks no language model: there is nothing to find out about it, now or later."""
    if run.measured_run_id is None and (run.kind != Run.Kind.LABELS or run.labeler is None):
        raise RunError(f"Run {run.pk} has no prompts; only a language model's answers can be measured like this.")


def measurable_check(run: Run) -> None:
    """Raises RunError where a run's judge cannot be measured by it (yet)."""
    if run.measured_run_id is not None:
        raise RunError(f"Run {run.pk} measures run {run.measured_run_id} itself; measure that one.")
    prompted_check(run)
    if run.job.is_open:
        raise RunError(f"Run {run.pk} is not over yet; its judge is measured when it is.")


def detector_default(run: Run) -> PromptVersion:
    """The ready-made detector for the endpoint that the run's labeler uses. Raises PromptError without it."""
    chat = run.labeler is not None and prompt_of(run.labeler).endpoint == "chat"
    return prompt_get("detector-few-shot-chat" if chat else "detector-few-shot", "detector")


# The same again


def _again(run: Run, plan: Plan, wanted: Wanted) -> Plan:
    said = run_said(run)
    chosen = vectors_sample(said, [it.vector for it in said], wanted.directions)
    tokens = tokens_of([it.direction_id for it in chosen])
    return _measuring(
        run, wanted, plan, [Entry(it.direction_id, tokens[it.direction_id]) for it in chosen], sampled_of=len(said)
    )


def _order(run: Run, wanted: Wanted, plan: Plan) -> Plan:
    options = replace(plan.options, order_seed=(plan.options.order_seed or 0) + plan.options.draw_seed + 1)
    return _again(run, replace(plan, options=options), wanted)


def _repeat(run: Run, wanted: Wanted, plan: Plan) -> Plan:
    options = replace(plan.options, sample=plan.options.sample + plan.options.draw_seed + 1)
    return _again(run, replace(plan, options=options), wanted)


# Labels


def _labelled(run: Run, wanted: Wanted) -> tuple[list[Said], list[Said], dict[str, int]]:
    """All labelled items, those that are asked about, and how many have no label."""
    said = run_said(run)
    labelled = [it for it in said if it.is_labelled]
    chosen = vectors_sample(labelled, [it.vector for it in labelled], wanted.directions)
    unlabelled = len(said) - len(labelled)
    return labelled, chosen, {"have no label": unlabelled} if unlabelled else {}


def _wrong_label(run: Run, wanted: Wanted, plan: Plan) -> Plan:
    if run.verifier is None:
        raise RunError(f"Run {run.pk} has no verifier, so there is nobody to hand a wrong label to.")
    labelled, chosen, left_out = _labelled(run, wanted)
    tokens = tokens_of([it.direction_id for it in chosen])
    others = [(it.vector, it.label) for it in labelled]
    donors: dict[int, Said] = {}
    for it in chosen:
        place = label_drawn(tokens[it.direction_id], it.vector, it.label, others, plan.options.draw_seed)
        if place is not None:
            donors[it.direction_id] = labelled[place]
    statements = statements_of(run, donors.values())
    entries = [
        Entry(it.direction_id, tokens[it.direction_id], {"statement": statements[donor.direction_id],
                                                         "from": donor.direction_id})
        for it in chosen
        if (donor := donors.get(it.direction_id)) and statements[donor.direction_id]
    ]  # fmt: skip
    if missing := len(chosen) - len(entries):
        left_out["find no other direction with another label"] = missing
    return _measuring(run, wanted, plan, entries, sampled_of=len(labelled), left_out=left_out)


def _detection(run: Run, wanted: Wanted, plan: Plan) -> Plan:
    if wanted.detector is None or wanted.detector.kind != PromptVersion.Kind.DETECTOR:
        raise RunError("Detection wants a detector prompt.")
    assert run.labeler is not None
    k = prompt_of(run.labeler).tokens_shown
    asking = replace(plan, labeler=None, verifier=None, detector=wanted.detector)
    if wanted.llm:
        config, llm = llm_get(wanted.llm)
        asking = replace(asking, config=config, llm=llm, price=price_get(config, llm))
    labelled, _, left_out = _labelled(run, wanted)
    tokens = tokens_of([it.direction_id for it in labelled], 2 * k)
    long_enough = [it for it in labelled if len(tokens[it.direction_id]) == 2 * k]
    if short := len(labelled) - len(long_enough):
        left_out[f"store fewer than the {2 * k} tokens that this takes (--top {2 * k} stores them)"] = short
    chosen = vectors_sample(long_enough, [it.vector for it in long_enough], wanted.directions)
    donors = _donors(run, k, plan.options.draw_seed)
    statements = statements_of(run, chosen)
    entries = []
    for it in chosen:
        own = Readout(it.direction_id, it.vector, it.model_id, tokens[it.direction_id])
        drawn = list_drawn(own, donors, k, plan.options.draw_seed)
        if drawn is not None and statements[it.direction_id]:
            entries.append(Entry(it.direction_id, [], {"statement": statements[it.direction_id], **drawn}))
    if missing := len(chosen) - len(entries):
        left_out["find too few tokens of other directions in the run"] = missing
    return _measuring(run, wanted, asking, entries, sampled_of=len(long_enough), left_out=left_out)


def _donors(run: Run, k: int, seed: int) -> list[Readout]:
    """Directions of the run with 2k tokens, labelled or not, whose tokens stand among a list's as the others'."""
    said = run_said(run)
    some = vectors_sample(said, [it.vector for it in said], DONORS, seed)
    tokens = tokens_of([it.direction_id for it in some], 2 * k)
    return [
        Readout(it.direction_id, it.vector, it.model_id, tokens[it.direction_id])
        for it in some
        if len(tokens[it.direction_id]) == 2 * k
    ]


# Other directions


def _controls(run: Run, wanted: Wanted, plan: Plan) -> Plan:
    found = Q(matrix__control__in=CONTROLS, matrix__basis="svd")
    return _elsewhere(run, wanted, plan, found, missing_controls(place_of(run)), CONTROLS)


def _contrasts(run: Run, wanted: Wanted, plan: Plan) -> Plan:
    found = Q(matrix__control="", matrix__basis__in=CONTRASTS)
    return _elsewhere(run, wanted, plan, found, missing_contrasts(place_of(run)), CONTRASTS)


def _elsewhere(run: Run, wanted: Wanted, plan: Plan, found: Q, missing: Sequence[str], kinds: Sequence[str]) -> Plan:
    """The same circuits and layers, made otherwise: the judge is told nothing of it."""
    place = place_of(run)
    if place is None:
        raise RunError(
            f"Run {run.pk} is not over one model's own directions, so there is nothing to compare {kinds[0]} with."
        )
    if len(missing) == len(kinds):
        raise RunError(f"Nothing of this is decomposed yet at the run's circuits and layers; {decompose_command(run)}")
    entries, variants, stored = _entries_elsewhere(place, found, wanted.directions)
    selection = RunSelection(
        place.model,
        "",
        MatrixSelection(
            place.circuits,
            place.layers,
            place.preprocessings,
            tuple(dict.fromkeys(seeded(it.basis, it.basis_seed) for it in variants)),
            tuple(dict.fromkeys(seeded(it.control, it.control_seed) or NO_CONTROL for it in variants)),
        ),
        place.indices,
        place.sides,
    )
    return _measuring(run, wanted, replace(plan, selection=selection), entries, sampled_of=stored)


def _entries_elsewhere(place: Place, found: Q, most: int | None) -> tuple[list[Entry], list[Variant], int]:
    """At most `most` directions of each kind in the order of keys, the variants that they are of, and how many
    directions there are.
    """
    rows = directions_in_key_order(Direction.objects.filter(place.condition() & found)).select_related(None)
    kinds: dict[tuple[str, str], list[tuple[int, tuple[int, str, int], Variant]]] = {}
    columns = ("pk", "matrix_id", "side", "index", "matrix__preprocessing", "matrix__basis", "matrix__basis_seed",
               "matrix__control", "matrix__control_seed")  # fmt: skip
    for pk, matrix, side, index, *variant in rows.values_list(*columns).iterator():
        made = Variant(*variant)
        kinds.setdefault((made.basis, made.control), []).append((pk, (matrix, side, index), made))
    chosen = [it for some in kinds.values() for it in vectors_sample(some, [vector for _, vector, _ in some], most)]
    tokens = tokens_of([pk for pk, _, _ in chosen])
    variants = list(dict.fromkeys(made for _, _, made in chosen))
    return [Entry(pk, tokens[pk]) for pk, _, _ in chosen], variants, sum(map(len, kinds.values()))


def missing_controls(place: Place | None) -> list[str]:
    """The kinds of control of which nothing is decomposed at a run's place."""
    return _missing(place, "control", CONTROLS, Q(matrix__basis="svd"))


def missing_contrasts(place: Place | None) -> list[str]:
    return _missing(place, "basis", CONTRASTS, Q(matrix__control=""))


def _missing(place: Place | None, field: str, kinds: Sequence[str], others: Q) -> list[str]:
    if place is None:
        return list(kinds)
    rows = Direction.objects.filter(place.condition() & others, **{f"matrix__{field}__in": kinds})
    stored = set(rows.order_by().values_list(f"matrix__{field}", flat=True).distinct())
    return [kind for kind in kinds if kind not in stored]


def missing_decompose(run: Run, purpose: Run.Purpose, *, user: User | None = None) -> Job:
    """Enqueue the decomposition of what controls or contrasts lack. Raises JobError, also where nothing is lacking."""
    if purpose not in (Purpose.CONTROLS, Purpose.CONTRASTS):
        raise JobError("Decomposing what is missing goes with controls or contrasts.")
    place = place_of(run)
    if place is None:
        raise JobError(f"Run {run.pk} is not over one model's own directions; decompose what you want on its page.")
    names = missing_controls(place) if purpose == Purpose.CONTROLS else missing_contrasts(place)
    if not names:
        raise JobError("All of that is decomposed already.")
    return decompose_more(
        model=place.model,
        circuits=place.circuits,
        layers=place.layers,
        extent=Extent(place.last_index + 1, place.top),
        variants=[
            Variant(preprocessing, control=name) if purpose == Purpose.CONTROLS else Variant(preprocessing, basis=name)
            for preprocessing in place.preprocessings
            for name in names
        ],
        created_by=user,
    )


def decompose_command(run: Run) -> str:
    """The sentence that brings controls and contrasts."""
    return f"`manage.py reliability {run.pk} --check controls --decompose` (or contrasts) brings it."


def _measuring(
    run: Run,
    wanted: Wanted,
    plan: Plan,
    entries: list[Entry],
    *,
    sampled_of: int,
    left_out: Mapping[str, int] | None = None,
) -> Plan:
    sampled = len(entries) if len(entries) < sampled_of else 0
    return replace(
        plan,
        selection=replace(plan.selection, sampled=sampled),
        measurement=Measurement(run, wanted.purpose, entries, left_out or {}),
    )


_MAKERS: Mapping[Run.Purpose, Callable[[Run, Wanted, Plan], Plan]] = {
    Purpose.ORDER: _order,
    Purpose.REPEAT: _repeat,
    Purpose.WRONG_LABEL: _wrong_label,
    Purpose.CONTROLS: _controls,
    Purpose.CONTRASTS: _contrasts,
    Purpose.DETECTION: _detection,
}
