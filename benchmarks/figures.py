"""The pages of figures and of review over a million judged directions.

PostgreSQL is private, as in the benchmark of judging. Four models of 40 layers, with OV and both MLP matrices:
1,024,000 directions, all judged by one machine whose verifier answered, and all its rules counted. A project of
100,000 items of which 25,000 are judged, by two people each. Figures that are much work are computed once, as their job
does it, and stored; their pages are measured as everybody meets them after that. So is the comparison of people beside
machine, and once more with a new judgement before each view.

Each page is asked for in turn, the whole request through every middleware and the templates in this process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import labelling
from benchmarks.harness import Bench, say

MODELS, LAYERS, HEADS = 4, 40, 24
VECTORS = labelling.VECTORS
ENDS_OF_A_LAYER = (2 * HEADS + 2) * VECTORS * 2  # OV has two sides
LIMIT_MS = 300
ENDLESS_MS = 6000
FIGURES = [
    "estimates", "layers", "indices", "models", "judgements", "rules", "trends", "bases", "calibration", "resemblance",
]  # fmt: skip
NO_FILES = ("resemblance",)  # reads the unembedding, which a database without files lacks
REVIEW = {
    "comparison": "/review/bench/",
    "differing": "/review/bench/?show=disagree",
    "disagreements": "/review/bench/disagreements/",
    "aggregation": "/review/bench/aggregation/",
    "ground-truth": "/review/bench/truth/",
}


def run(bench: Bench) -> None:
    options = arguments(bench.arguments)
    labelling.with_postgres(bench, lambda url, directory: measure(bench, options, url))


def arguments(given: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./tea bench figures")
    parser.add_argument(
        "--layers", type=int, default=LAYERS, help=f"of each of the {MODELS} models (default: {LAYERS})"
    )
    parser.add_argument("--repeats", type=int, default=15, help="requests for each page")
    return parser.parse_args(given)


def measure(bench: Bench, options: argparse.Namespace, url: str) -> None:
    with labelling.data_folder() as data:
        labelling.prepare_django(url, data)
        static_prepare()
        database = Atlas(url, "figures", MODELS * options.layers * ENDS_OF_A_LAYER, options.layers)
        seconds = database.build()
        note = (
            f"{database.directions:,} directions, {MODELS} models of {options.layers} layers; built in {seconds:.0f} s"
        )
        bench.note(f"{note}. Load of the machine when the pages were asked for: {load()}.")
        with database.chosen():
            pages(bench, options.repeats)


def static_prepare() -> None:
    """Whole pages name their style sheets by their hashes."""
    from django.core.management import call_command

    call_command("collectstatic", verbosity=0, interactive=False)


def load() -> str:
    return ", ".join(f"{it:.1f}" for it in os.getloadavg())


@dataclass
class Atlas(labelling.Database):
    layers: int = LAYERS

    @property
    def done(self) -> int:
        return self.items // 4

    def fill(self) -> None:
        from labelapp.accounts.models import User
        from labelapp.atlas.selection import MatrixSelection
        from labelapp.judgements.models import Judge
        from labelapp.judgements.services import judge_ensure, judge_of_user
        from labelapp.labelling.models import Guidelines, Membership, Project
        from labelapp.labelling.projects.design import Design
        from labelapp.labelling.projects.selection import ItemSelection
        from labelapp.review.scores import scores_write_all

        slugs = tuple(f"bench-{n}" for n in range(MODELS))
        design = Design(ItemSelection(slugs, MatrixSelection()), n=self.items, seed=0).as_json()
        project = Project.objects.create(
            name="Bench", slug="bench", overlap=labelling.OVERLAP, tokens_shown=15, design=design
        )
        Guidelines.objects.create(project=project, version=1, text="Judge.")
        owner, *people = (User.objects.create_user(name) for name in ("owner", "person0", "person1"))
        Membership.objects.create(project=project, user=owner, role="owner")
        first = min(judge_of_user(user).pk for user in people)
        machine, verifier = (
            judge_ensure(type=Judge.Type.PROMPT, name=name, parameters={"n": name}) for name in ("labeler", "verifier")
        )
        self.execute(
            *self.atlas(), *self.sample(project.pk, project.source, first), *self.machine(machine.pk, verifier.pk)
        )
        self.execute("VACUUM ANALYZE")  # planned for empty tables, what follows would take hours
        scores_write_all(project)
        self.execute("VACUUM ANALYZE review_disagreement")

    def atlas(self) -> list[str]:
        """Every layer: an OV matrix for each head, both its sides, and the two MLP matrices."""
        matrices = self.layers * (HEADS + 2)
        return [
            f"""INSERT INTO atlas_model (name, revision, is_default, source, architecture, n_layers, n_heads,
                 n_kv_heads, d_model, d_head, d_mlp, vocab_size, tied, circuits, rotary, block_threshold, weights_hash,
                 created_at)
               SELECT 'bench-' || n, 'r', true, '', 'gpt2', {self.layers}, {HEADS}, {HEADS}, 64, 64, 64, 50257, true,
                 '["ov", "mlp_in", "mlp_out"]', false, 0.01, 'bench' || n, now()
               FROM generate_series(0, {MODELS - 1}) n""",
            f"""INSERT INTO atlas_matrix (model_id, address, circuit, layer, head, preprocessing, basis, basis_seed,
                 control, control_seed, singular_values, rank, n_vectors, top, vectors, created_at)
               SELECT (SELECT min(id) FROM atlas_model) + m / {matrices},
                 CASE WHEN h < {HEADS} THEN 'ov.' || l || '.' || h WHEN h = {HEADS} THEN 'mlp_in.' || l
                   ELSE 'mlp_out.' || l END,
                 CASE WHEN h < {HEADS} THEN 'ov' WHEN h = {HEADS} THEN 'mlp_in' ELSE 'mlp_out' END, l,
                 CASE WHEN h < {HEADS} THEN h END, 'raw', 'svd', 0, '', 0, '\\x0000803f', 64, {VECTORS},
                 {labelling.TOKENS}, '{{}}', now()
               FROM (SELECT m, m % {matrices} / {HEADS + 2} AS l, m % {HEADS + 2} AS h
                     FROM generate_series(0, {MODELS * matrices - 1}) m) places""",
            labelling.READOUTS,
            f"""INSERT INTO atlas_direction (matrix_id, side, index, sign, singular_value, tokens, scores)
               SELECT matrix.id, side, index, sign, 1, tokens, decode(repeat('0000803f', {labelling.TOKENS}), 'hex')
               FROM atlas_matrix matrix, unnest(CASE circuit WHEN 'ov' THEN array['write', 'read'] WHEN 'mlp_in' THEN
                 array['read'] ELSE array['write'] END) side, generate_series(0, {VECTORS - 1}) index,
                 unnest(array['+', '-']) sign JOIN readout ON n = 7""",
        ]  # fmt: skip

    def sample(self, project: int, source: str, first: int) -> list[str]:
        verdict = "CASE WHEN (direction_id * 7 + k) % 10 < 6 THEN 'interpretable' ELSE 'not_interpretable' END"
        return [
            f"""INSERT INTO labelling_item (project_id, direction_id, opaque_id, position, inclusion_probability,
                 exploration, n_judged, is_open)
               SELECT {project}, id, substr(md5(id::text), 1, 16), row_number() OVER (ORDER BY md5(id::text)) - 1,
                 {self.items / self.directions}, false, 0, true
               FROM (SELECT id FROM atlas_direction ORDER BY md5(id::text || 'drawn') LIMIT {self.items}) drawn""",
            f"UPDATE labelling_item SET n_judged = {labelling.OVERLAP}, is_open = false WHERE position < {self.done}",
            labelling.judgements(
                f"'{source}'", f"{first} + k",
                f"labelling_item, generate_series(0, 1) k WHERE position < {self.done} ORDER BY position, k",
                "direction_id", verdict,
            ),
        ]  # fmt: skip

    def machine(self, judge: int, verifier: int) -> list[str]:
        """The labeler names a meaning on 84 %, the verifier says yes to 70 % of these and to 75 % of the others."""
        labeler = "CASE WHEN id % 100 < 84 THEN 'interpretable' ELSE 'not_interpretable' END"
        of_matrix = "SELECT d.matrix_id, count(*) AS n FROM atlas_direction d"
        counted = {
            "labeler": "d.id % 100 < 84",
            "verifier": "d.id % 4 < 3",
            "both": "d.id % 100 < 84 AND d.id % 4 < 3",
            "both_specific": "d.id % 100 < 84 AND d.id % 4 < 3",
        }
        return [
            labelling.judgements("'run:1'", str(judge), "atlas_direction ORDER BY id", "id", labeler),
            f"""INSERT INTO judgements_verification (judgement_id, judge_id, answer, created_at)
               SELECT id, {verifier}, CASE WHEN direction_id % 4 < 3 THEN 'yes' ELSE 'no' END, now()
               FROM judgements_judgement WHERE judge_id = {judge}""",
            *(
                f"""INSERT INTO judgements_summary (matrix_id, judge_id, rule, interpretable, not_interpretable, unsure,
                     unparsed, failed)
                   SELECT a.matrix_id, {judge}, '{rule}', coalesce(b.n, 0), a.n - coalesce(b.n, 0), 0, 0, 0
                   FROM ({of_matrix} GROUP BY 1) a LEFT JOIN ({of_matrix} WHERE {condition} GROUP BY 1) b
                     ON b.matrix_id = a.matrix_id"""
                for rule, condition in counted.items()
            ),
        ]


def pages(bench: Bench, repeats: int) -> None:
    from django.test import Client

    from labelapp.accounts.models import User
    from labelapp.figures.estimates import resolve
    from labelapp.figures.kinds import KINDS
    from labelapp.figures.query import Query
    from labelapp.figures.services import is_heavy

    owner = User.objects.get(username="owner")
    client = Client()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    addresses = {f"figures-{name}": "/figures/" if name == "estimates" else f"/figures/{name}/" for name in FIGURES}
    addresses |= {"figures-machines": "/figures/machines/"} | {f"review-{name}": it for name, it in REVIEW.items()}
    rows, medians = [], {}
    counted = f"{count_as_a_job(owner):.1f}"
    for name, address in addresses.items():
        computed = counted if name == "review-comparison" else ""
        kind = KINDS.get(name.removeprefix("figures-"))
        if kind and kind.name not in NO_FILES and is_heavy(kind, resolve(Query(project="bench"))):
            computed = f"{as_a_job(kind.name, owner):.1f}"
        found = times(client, address, repeats)
        medians[name] = statistics.median(found.wall)
        rows.append([address, computed, f"{statistics.median(found.own):.1f}", *labelling.row_of(found.wall)])
    found = times(client, REVIEW["comparison"], repeats, before=judgement)
    medians["review-comparison-after-a-judgement"] = statistics.median(found.wall)
    own = f"{statistics.median(found.own):.1f}"
    rows.append([f"{REVIEW['comparison']} after a judgement", "", own, *labelling.row_of(found.wall)])
    header = [
        "page",
        "computed once, as a job, in s",
        "own work, median ms",
        "median ms",
        "95th percentile ms",
        "longest ms",
    ]
    bench.table(header, rows)
    bench.note(
        "Own work: processor time of the web process alone; the rest is the database, and waiting for a processor."
    )
    for name, median in medians.items():
        bench.at_most(name, median, "ms", LIMIT_MS)


def as_a_job(name: str, user: Any) -> float:
    """Compute a figure as its job does, and store it; seconds."""
    from labelapp.figures.estimates import resolve
    from labelapp.figures.kinds import KINDS
    from labelapp.figures.query import Query
    from labelapp.figures.services import figure_keep, figure_of_job, named
    from labelapp.jobs.models import Job

    query = named(resolve(Query(project="bench")))
    job = Job(params={"kind": name, "query": query.as_json()})
    start = time.perf_counter()
    kind, query, computed, stamp = figure_of_job(job, lambda percent: None)
    figure_keep(kind=kind, query=query, computed=computed, stamp=stamp, user=user)
    say(f"{name}: computed in {time.perf_counter() - start:.1f} s")
    assert KINDS[name] is kind
    return time.perf_counter() - start


def count_as_a_job(user: Any) -> float:
    """Count people beside machine as the job does it, for the page of this person; seconds."""
    from labelapp.jobs.models import Job
    from labelapp.labelling.models import Project
    from labelapp.review.crossed import crossed_keep
    from labelapp.review.crossed_shown import crossed_of_job

    job = Job(params={"project": Project.objects.get(slug="bench").pk, "viewer": user.pk})
    start = time.perf_counter()
    crossed_keep(crossed_of_job(job))
    return time.perf_counter() - start


def judgement() -> None:
    """One more of the first person, on the next open item."""
    from labelapp.accounts.models import User
    from labelapp.labelling.models import Item, Membership
    from labelapp.labelling.services import item_judge

    person = User.objects.get(username="person0")
    item = Item.objects.filter(project__slug="bench", is_open=True, n_judged=0).order_by("position")[0]
    Membership.objects.get_or_create(project=item.project, user=person, role="annotator")
    item_judge(item=item, user=person, verdict="interpretable")


@dataclass
class Times:
    """Milliseconds of each request, and of them what this process itself worked."""

    wall: list[float]
    own: list[float]


def times(client: Any, address: str, repeats: int, before: Callable[[], object] = lambda: None) -> Times:
    """The first two requests apart. What takes very long is not asked again. `before` is done before each, untimed."""
    found = Times([], [])
    for turn in range(repeats + 2):
        before()
        start, worked = time.perf_counter(), time.process_time()
        response = client.get(address)
        spent, worked = 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - worked)
        assert response.status_code == 200, f"{address}: {response.status_code}"
        is_endless = turn == 1 and spent > ENDLESS_MS
        if turn >= 2 or is_endless:
            found.wall.append(spent)
            found.own.append(worked)
        if is_endless:
            break
    say(f"{address}: {statistics.median(found.wall):.0f} ms, load {load()}")
    return found
