"""Review: pages of the disagreement queue over a million judged directions, one project and all of them.

PostgreSQL is private and found as the tests find it. One project holds all directions of the atlas as items. A machine
with a verifier has judged every one, another machine each fourth; people have judged a tenth twice, another twentieth
once. The reviewer has judged 4,000 of these, decided 2,000, and judges in a second project that draws from the same
directions, so that what waits there has to be left out as well. Both machines have judged controls too, with their
confidences, and each answer of the labeler's run has its call. Whole requests, through every middleware and the
templates, in this process. What a job computes is computed once before its page is asked for. A run that imports labels
is timed with and without items on its directions.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, say, seconds
from benchmarks.labelling import Database, prepare_django

LARGE = 1_000_000
LIMIT_MS = 300
VECTORS, TOKENS, LAYERS = 64, 20, 48
PEOPLE = 20
OVERLAP = 2
SECOND = 5_000  # items of the reviewer's other project
CONTROLS = 20_000  # directions of noise, which are no items
WRITTEN = 5_000  # judgements of a machine, written at once
# A twentieth of the labels is "nouns", a twentieth of the answers are cut short; a tenth of the labels is shared by
# some twenty directions each, most others by four.
LABEL = """CASE abs(hashtext(id || 'w')) % 20 WHEN 0 THEN 'nouns' WHEN 1 THEN 'topic ' || id % 5000
  WHEN 2 THEN 'topic ' || id % 5000 ELSE 'things like ' || id % 200000 END"""
ANSWER = """jsonb_build_object('answer', 'These words are things'
  || CASE WHEN abs(hashtext(id || 'a')) % 20 = 0 THEN ' in the' ELSE '.' END)"""


def run(bench: Bench) -> None:
    parser = argparse.ArgumentParser(prog="./tea bench review")
    parser.add_argument("--directions", type=int, default=LARGE, help=f"in the database (default: {LARGE})")
    parser.add_argument("--times", type=int, default=15, help="each page is asked for")
    options = parser.parse_args(bench.arguments)
    bench.libraries += ["Django", "psycopg"]
    services = importlib.import_module("tests.support.services")
    if "PostgreSQL" in services.missing_parts():
        raise SystemExit("bench: PostgreSQL is missing; Debian's package postgresql brings it.")
    directory = Path(tempfile.mkdtemp(prefix="tealeaves-bench-"))
    server = services.PrivatePostgres(directory, durable=True)
    try:
        server.start()
        prepare_django(server.url, directory / "data")
        importlib.import_module("labelapp.operations.prepare").static_prepare()
        database = Reviewed(server.url, "review", options.directions)
        say(f"{database.directions} directions: built in {database.build():.0f} s")
        with database.chosen():
            measure(bench, database, options.times)
            written(bench)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Reviewed(Database):
    """An atlas that is all judged, in one project."""

    def fill(self) -> None:
        from labelapp.accounts.models import User
        from labelapp.judgements.models import Judge
        from labelapp.judgements.services import judge_ensure, judge_of_user
        from labelapp.labelling.models import Guidelines, Membership, Project
        from labelapp.review.label_tallies import tallies_verify
        from labelapp.review.scores import scores_write_all

        project = Project.objects.create(name="Bench", slug="bench", overlap=OVERLAP)
        second = Project.objects.create(name="Second", slug="second", overlap=OVERLAP)
        people = [User.objects.create_user(f"person{n}") for n in range(PEOPLE)]
        for it in (project, second):
            Guidelines.objects.create(project=it, version=1, text="Judge.")
            Membership.objects.create(project=it, user=people[0], role="reviewer")
        first = min(judge_of_user(user).pk for user in people)
        post = {"role": "labeler", "prompts": "post"}  # its exemplars are looked for among all readouts
        labeler = judge_ensure(type=Judge.Type.PROMPT, name="labeler", parameters=post)
        verifier = judge_ensure(type=Judge.Type.PROMPT, name="verifier", parameters={"role": "verifier"})
        baseline = judge_ensure(type=Judge.Type.BASELINE, name="baseline", parameters={})
        twice, once = self.directions // 10, self.directions // 20
        self.execute(
            """INSERT INTO atlas_model (name, revision, is_default, source, architecture, n_layers, n_heads, n_kv_heads,
                 d_model, d_head, d_mlp, vocab_size, tied, circuits, rotary, block_threshold, weights_hash, created_at)
               VALUES ('bench', 'r', true, '', 'gpt2', 48, 1, 1, 64, 64, 64, 50257, true, '["ov"]', false, 0.01,
                 'bench', now())""",
            f"""INSERT INTO atlas_matrix (model_id, address, circuit, layer, head, preprocessing, basis, basis_seed,
                 control, control_seed, singular_values, rank, n_vectors, top, vectors, created_at)
               SELECT 1, 'ov.' || n % {LAYERS} || '.' || n / {LAYERS}, 'ov', n % {LAYERS}, n / {LAYERS}, 'raw', 'svd',
                 0, '', 0, '\\x0000803f', 64, {VECTORS}, {TOKENS}, '{{}}', now()
               FROM generate_series(0, {(self.directions - 1) // (2 * VECTORS)}) n""",
            f"""CREATE TEMPORARY TABLE readout AS
               SELECT n, '[' || string_agg('" word' || n || 'of' || i || '"', ',') || ']' AS tokens
               FROM generate_series(0, 999) n, generate_series(1, {TOKENS}) i GROUP BY n""",
            f"""INSERT INTO atlas_direction (matrix_id, side, index, sign, singular_value, tokens, scores)
               SELECT (SELECT min(id) FROM atlas_matrix) + m / {2 * VECTORS}, 'write', m % {2 * VECTORS} / 2,
                 CASE m % 2 WHEN 0 THEN '+' ELSE '-' END, 1, tokens, decode(repeat('0000803f', {TOKENS}), 'hex')
               FROM generate_series(0, {self.directions - 1}) m JOIN readout ON n = m % 1000""",
            f"""INSERT INTO labelling_item (project_id, direction_id, opaque_id, position, inclusion_probability,
                 exploration, n_judged, is_open)
               SELECT {project.pk}, id, substr(md5(id::text), 1, 16), row_number() OVER (ORDER BY md5(id::text)) - 1,
                 0.2 + 0.8 * (id % 7) / 7, false, 0, true FROM atlas_direction""",
            f"""UPDATE labelling_item SET n_judged = CASE WHEN position < {twice} THEN {OVERLAP} ELSE 1 END,
                 is_open = position >= {twice} WHERE position < {twice + once}""",
            f"""INSERT INTO atlas_matrix (model_id, address, circuit, layer, head, preprocessing, basis, basis_seed,
                 control, control_seed, singular_values, rank, n_vectors, top, vectors, created_at)
               SELECT 1, 'noise.' || n, 'ov', n % {LAYERS}, n / {LAYERS}, 'raw', 'svd', 0, 'gaussian', 0,
                 '\\x0000803f', 64, {VECTORS}, {TOKENS}, '{{}}', now()
               FROM generate_series(0, {(CONTROLS - 1) // (2 * VECTORS)}) n""",
            f"""INSERT INTO atlas_direction (matrix_id, side, index, sign, singular_value, tokens, scores)
               SELECT (SELECT min(id) FROM atlas_matrix WHERE control <> '') + m / {2 * VECTORS}, 'write',
                 m % {2 * VECTORS} / 2, CASE m % 2 WHEN 0 THEN '+' ELSE '-' END, 1, tokens,
                 decode(repeat('0000803f', {TOKENS}), 'hex')
               FROM generate_series(0, {CONTROLS - 1}) m JOIN readout ON n = m % 1000""",
            f"""INSERT INTO labelling_item (project_id, direction_id, opaque_id, position, inclusion_probability,
                 exploration, n_judged, is_open)
               SELECT {second.pk}, direction_id, 's' || substr(md5(id::text), 1, 15), position, 1, false, 0, true
               FROM labelling_item WHERE position < {SECOND}""",
            self.said(
                f"'{project.source}'", f"{first} + (position * {OVERLAP} + k) % {PEOPLE}",
                "CASE WHEN hashtext(position || 'p' || k) % 10 < 6 THEN 'interpretable' ELSE 'not_interpretable' END",
                f"""labelling_item, generate_series(0, {OVERLAP - 1}) k
                    WHERE project_id = {project.pk} AND position < {twice + once} AND (k = 0 OR position < {twice})""",
                "direction_id",
            ),
            self.said(
                "'run:1'", str(labeler.pk),
                "CASE WHEN hashtext(id || 'l') % 10 < 8 THEN 'interpretable' ELSE 'not_interpretable' END",
                "atlas_direction", "id", f"{confidence('confidence', 'id')} || {ANSWER}", LABEL,
            ),
            self.said(
                "'run:2'", str(baseline.pk),
                "CASE WHEN hashtext(id || 'b') % 10 < 4 THEN 'interpretable' ELSE 'not_interpretable' END",
                "atlas_direction WHERE id % 4 = 0", "id", confidence("p_value", "id"),
            ),
            f"""INSERT INTO judgements_verification (judgement_id, judge_id, answer, created_at)
               SELECT id, {verifier.pk}, CASE WHEN hashtext(id || 'v') % 10 < 7 THEN 'yes' ELSE 'no' END, now()
               FROM judgements_judgement WHERE judge_id = {labeler.pk}""",
            f"""INSERT INTO judgements_summary (matrix_id, judge_id, rule, interpretable, not_interpretable, unsure,
                 unparsed, failed)
               SELECT matrix_id, judge_id, rule, count(*), 0, 0, 0, 0 FROM judgements_judgement j
               JOIN atlas_direction d ON d.id = j.direction_id
               JOIN unnest(array['labeler', 'verifier', 'both']) rule ON rule = 'labeler' OR judge_id = {labeler.pk}
               GROUP BY matrix_id, judge_id, rule""",
            f"""INSERT INTO review_adjudication (item_id, by_id, current, verdict, label, reason, proposal, over,
                 created_at)
               SELECT id, {people[0].pk}, true, 'interpretable', '', '', '', '[]', now()
               FROM labelling_item WHERE project_id = {project.pk} AND position < 2000""",
            *self.calls(labeler),
        )  # fmt: skip
        with self.connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        say(f"all labels counted in {seconds(lambda: tallies_verify(repair=True)):.0f} s")
        say(f"all disagreements weighed in {seconds(scores_write_all):.0f} s")
        with self.connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")

    def calls(self, labeler: Any) -> list[str]:
        """A run of the labeler with an item for each direction; like lists are the same call."""
        from labelapp.autolabel.models import PromptVersion, Run
        from labelapp.jobs.services import job_create

        version = PromptVersion.objects.create(name="bench", version=1, kind="labeler", digest="bench", body={})
        run = Run.objects.create(judge=labeler, kind="labels", labeler=version, job=job_create(title="bench"))
        return [
            f"""INSERT INTO autolabel_call (request_hash, sample, provider, llm, prompt_version_id, prompt, parameters,
                 texts, finish_reasons, prompt_tokens, completion_tokens, cost, latency, provider_model, top_logprobs,
                 confidence, created_at)
               SELECT 'bench' || n, 0, 'p', 'm', {version.pk}, 'What?', '{{}}', '["words"]', '["stop"]', 300, 5,
                 30000 + n, 0.5, '', '[]', 0.5, now() FROM generate_series(0, 999) n""",
            f"""INSERT INTO autolabel_runitem (run_id, direction_id, variant, position, chunk, state, error_kind, error,
                 labeler_call_id, verdict, label, verification, detail)
               SELECT {run.pk}, id, '', id, 0, 'done', '', '', (SELECT min(id) FROM autolabel_call) + id % 1000,
                 'interpretable', 'words', '', '{{}}' FROM atlas_direction""",
        ]  # fmt: skip

    @staticmethod
    def said(
        source: str,
        judge: str,
        verdict: str,
        rows: str,
        direction: str,
        evidence: str = "'{}'",
        label: str = "'words of one kind'",
    ) -> str:
        return f"""INSERT INTO judgements_judgement (direction_id, judge_id, source, current, blind, verdict, label,
              kind, reason, misfits, tokens_shown, guidelines_version, seconds, evidence, created_at)
            SELECT {direction}, {judge}, {source}, true, true, {verdict}, {label}, '', '', '[]', 15, 1, 6,
              {evidence}, now() - interval '1 hour' FROM {rows}"""


def confidence(name: str, of: str) -> str:
    """Of a machine's evidence a number from 0 to 1, that hangs on nothing but the row."""
    return f"jsonb_build_object('{name}', abs(hashtext({of} || '{name}')) % 1000 / 1000.0)"


def measure(bench: Bench, database: Database, times: int) -> None:
    from django.test import Client

    from labelapp.accounts.models import User
    from labelapp.judgements.models import Judge
    from labelapp.review.models import Disagreement

    client = Client()
    client.force_login(User.objects.get(username="person0"), backend="django.contrib.auth.backends.ModelBackend")
    row = Disagreement.objects.filter(project__slug="bench", is_open=False, score__gt=0).order_by("score")
    place = row[row.count() // 2]
    queue, item = "/review/bench/disagreements/", f"/review/bench/disagreements/{place.item.opaque_id}/"
    lab = "/review/bench/lab/?set="
    pages = {
        "queue": queue,
        "queue-people": f"{queue}?kind=people",
        "queue-people-machine": f"{queue}?kind=people_machine",
        "queue-machine": f"{queue}?kind=machine",
        "queue-middle": f"{queue}?after={place.score!r},{place.pk}",
        "queue-layer-and-sign": f"{queue}?layer=7&sign=-",
        "queue-judge": f"{queue}?judge={Judge.objects.get(name='baseline').pk}",
        "queue-cell": f"{queue}?cell=none-yes",
        "queue-audit": f"{queue}?audit=generic",
        "queue-audit-cut-short": f"{queue}?audit=truncated_certain&kind=people",
        "queue-audit-same-label": f"{queue}?audit=same_label",
        "queue-audit-rare": f"{queue}?audit=exemplar_leak",
        "queue-decided": f"{queue}?state=decided",
        "queue-with-hidden": f"{queue}?all=1",
        "queue-everywhere": "/review/disagreements/",
        "item": item,
        "lab": f"{lab}&all=1",
        "lab-behind": f"{lab}&all=1&after={database.directions // 2}",
        "lab-hidden": lab,
    }
    kept = Disagreement.objects.filter(score__gt=0)
    bench.note(
        f"{database.directions} directions, all judged; {kept.count()} items disagree, of which "
        f"{kept.filter(is_open=False).count()} are judged as often as their project asks for."
    )
    compared_as_a_job(bench, database)
    rows, worst = [], {}
    for name, address in pages.items():
        for _ in range(2):
            asked(client, address)
        before = processor_seconds(database)
        spent = [1000 * asked(client, address) for _ in range(times)]
        used = 1000 * (processor_seconds(database) - before) / times
        worst[name] = statistics.median(spent)
        rows.append([name, f"{worst[name]:.0f}", f"{max(spent):.0f}", f"{used:.0f}"])
    bench.table(["page", "median ms", "longest ms", "of the processor, mean ms"], rows)
    bench.note(
        f"The load of the machine was {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores. What the pages use of the "
        "processor, in this process and in the database's, does not wait for others."
    )
    for name, median in worst.items():
        bench.at_most(f"{name}-median", median, "ms", LIMIT_MS)


def compared_as_a_job(bench: Bench, database: Database) -> None:
    """The prompt lab's comparison over the whole project, as its job makes it and keeps it."""
    from labelapp.jobs.models import Job
    from labelapp.labelling.models import Project
    from labelapp.review.lab import Reference, judges_of_reference
    from labelapp.review.lab_stored import Question, lab_keep, lab_of_job

    reference = Reference(Project.objects.get(slug="bench"))
    judges = sorted(judges_of_reference(reference), key=lambda it: it.pk)
    job = Job(params=Question(reference, judges).as_json())
    spent = seconds(lambda: lab_keep(*lab_of_job(job, lambda percent: None)))
    bench.note(f"The prompt lab's job over {database.directions} items, {len(judges)} judges: {spent:.0f} s.")


def asked(client: Any, address: str) -> float:
    def ask() -> None:
        response = client.get(address)
        assert response.status_code == 200, response.content.decode()[:500]

    return seconds(ask)


def processor_seconds(database: Database) -> float:
    """Of this process, the database's process that serves it, and the helpers of that one that have ended."""
    backend = database.connection.connection.info.backend_pid
    parent = int(_stat(backend)[1])
    own, helpers = (_stat(pid) for pid in (backend, parent))
    ticks = sum(map(int, own[11:13])) + sum(map(int, helpers[13:15]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Of /proc/PID/stat what comes behind the name: the state first, then the parent's id."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def written(bench: Bench) -> None:
    """What keeping the queue costs those who write many judgements at once."""
    from labelapp.atlas.models import Direction
    from labelapp.judgements import followers
    from labelapp.judgements.services import Draft, judge_ensure, judgements_record_new

    ids = list(Direction.objects.order_by("pk").values_list("pk", flat=True)[:WRITTEN])
    drafts = [Draft(pk, "interpretable", "words of one kind") for pk in ids]

    def write(name: str) -> float:
        judge = judge_ensure(type="prompt", name=name, parameters={"name": name})
        return seconds(lambda: judgements_record_new(judge=judge, source="run:9", drafts=drafts))

    kept = list(followers._followers)
    times: dict[str, list[float]] = {"kept": [], "not kept": []}
    for n in range(5):
        for name in times:
            followers._followers[:] = kept if name == "kept" else []
            times[name].append(write(f"{name} {n}"))
    followers._followers[:] = kept
    medians = {name: statistics.median(found) for name, found in times.items()}
    bench.note(f"{WRITTEN} judgements of a machine on items, in one transaction: " + ", ".join(
        f"{seconds_:.2f} s where the queue is {name}" for name, seconds_ in medians.items()
    ) + ".")  # fmt: skip
    bench.plain("a-machine-s-judgements-with-the-queue", WRITTEN / medians["kept"], "judgements/s")
    bench.plain("a-machine-s-judgements-without-it", WRITTEN / medians["not kept"], "judgements/s")
