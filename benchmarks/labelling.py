"""Judging: an answer saved and the next item brought, in a small atlas and in a large one, by one person and by fifty.

PostgreSQL is private and found as the tests find it, but waits for the disk. The large database holds 1,000,000
directions, 100,000 judgements and a project of 100,000 items with an overlap of two; the small one a hundredth of the
directions and judgements, and a project of all its directions. Rows are made in the database, with SQL.

One person: the whole request, through every middleware and the templates, in this process; requests to the two
databases take turns, so that a slow moment of the machine meets both. Fifty people: a gunicorn as `./tea up` starts
it, and as many people, each sending the next answer as soon as the last one is there.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.harness import ROOT, Bench, say

PEOPLE = 50
OVERLAP = 2
VECTORS = 64  # of a matrix, each with two ends
TOKENS = 20
WARM_UP = 30
LARGE, SMALL = 1_000_000, 10_000
ITEMS_AT_MOST = 100_000
JUDGEMENTS_SHARE = 10  # one judgement for so many directions; half are people's in the project, half a machine's
START_SECONDS = 60


READOUTS = f"""CREATE TEMPORARY TABLE readout AS
    SELECT n, '[' || string_agg('" word' || n || 'of' || i || '"', ',') || ']' AS tokens
    FROM generate_series(0, 999) n, generate_series(1, {TOKENS}) i GROUP BY n"""


def run(bench: Bench) -> None:
    options = arguments(bench.arguments)
    bench.libraries.append("gunicorn")
    with_postgres(bench, lambda url, directory: measure(bench, options, url, directory))


def with_postgres(bench: Bench, work: Callable[[str, Path], None]) -> None:
    """Do some work with a private PostgreSQL: its URL and its folder."""
    bench.libraries += ["Django", "psycopg"]
    services = importlib.import_module("tests.support.services")
    if "PostgreSQL" in services.missing_parts():
        raise SystemExit("bench: PostgreSQL is missing; Debian's package postgresql brings it.")
    directory = Path(tempfile.mkdtemp(prefix="tealeaves-bench-"))
    server = services.PrivatePostgres(directory, durable=True)
    try:
        server.start()
        work(server.url, directory)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def arguments(given: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./tea bench labelling")
    parser.add_argument("--directions", type=int, default=LARGE, help=f"in the large database (default: {LARGE})")
    parser.add_argument("--answers", type=int, default=300, help="of the one person, in each database")
    parser.add_argument("--each", type=int, default=10, help="answers of each of the fifty")
    return parser.parse_args(given)


def measure(bench: Bench, options: argparse.Namespace, url: str, directory: Path) -> None:
    with data_folder() as data:
        prepare_django(url, data)
        large = Database(url, "large", options.directions)
        small = Database(url, "small", min(SMALL, options.directions))
        for database in (small, large):
            seconds = database.build()
            say(f"{database.directions} directions: built in {seconds:.0f} s")
        bench.note(
            f"{large.directions} directions, {large.directions // JUDGEMENTS_SHARE} judgements and a project of "
            f"{large.items} items of which {large.done} are done; beside it {small.directions} directions, "
            f"{small.directions // JUDGEMENTS_SHARE} judgements and {small.items} items. Overlap {OVERLAP}."
        )
        one_person(bench, large, small, options.answers)
        many_people(bench, large, options.each, data)


@contextmanager
def data_folder() -> Iterator[Path]:
    data = Path(tempfile.mkdtemp(prefix="tealeaves-bench-data-"))
    try:
        yield data
    finally:
        shutil.rmtree(data, ignore_errors=True)


def prepare_django(url: str, data: Path) -> None:
    os.environ.update(
        DJANGO_SETTINGS_MODULE="labelapp.config.settings", TEALEAVES_DATA=str(data), DATABASE_URL=url,
        CELERY_BROKER_URL="memory://", LOG_LEVEL="ERROR",
    )  # fmt: skip
    import django

    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]


@dataclass
class Database:
    """One of the server's databases, with an atlas and a project in it."""

    url: str  # of the server's own database
    name: str
    directions: int
    connection: Any = field(init=False)

    @property
    def items(self) -> int:
        return min(ITEMS_AT_MOST, self.directions)

    @property
    def done(self) -> int:
        """Items on which as many judgements stand as the overlap asks for."""
        return self.directions // JUDGEMENTS_SHARE // 2 // OVERLAP

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DATABASE_URL": self.url.rpartition("/")[0] + f"/{self.name}"}

    def build(self) -> float:
        """Make the database and fill it; seconds that it took."""
        from django.core.management import call_command
        from django.db import connections

        start = time.perf_counter()
        server = connections.create_connection("default")
        with server.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.name}")
        server.close()
        self.connection = connections.create_connection("default")
        self.connection.settings_dict = {**self.connection.settings_dict, "NAME": self.name, "CONN_MAX_AGE": None}
        with self.chosen():
            call_command("migrate", verbosity=0)
            self.fill()
        return time.perf_counter() - start

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Django's default connection is this database's."""
        from django.db import connections

        before = connections["default"]
        connections["default"] = self.connection
        try:
            yield
        finally:
            connections["default"] = before

    def fill(self) -> None:
        from labelapp.accounts.models import User
        from labelapp.judgements.models import Judge
        from labelapp.judgements.services import judge_ensure, judge_of_user
        from labelapp.labelling.models import Guidelines, Membership, Project

        project = Project.objects.create(name="Bench", slug="bench", overlap=OVERLAP, tokens_shown=15)
        Guidelines.objects.create(project=project, version=1, text="Judge.")
        people = [User.objects.create_user(f"person{n}") for n in range(PEOPLE)]
        Membership.objects.bulk_create(Membership(project=project, user=user, role="annotator") for user in people)
        first = min(judge_of_user(user).pk for user in people)
        machine = judge_ensure(type=Judge.Type.BASELINE, name="machine", parameters={})
        self.execute(
            """INSERT INTO atlas_model (name, revision, is_default, source, architecture, n_layers, n_heads, n_kv_heads,
                 d_model, d_head, d_mlp, vocab_size, tied, circuits, rotary, block_threshold, weights_hash, created_at)
               VALUES ('bench', 'r', true, '', 'gpt2', 9999, 1, 1, 64, 64, 64, 50257, true, '["mlp_out"]', false, 0.01,
                 'bench', now())""",
            f"""INSERT INTO atlas_matrix (model_id, address, circuit, layer, preprocessing, basis, basis_seed, control,
                 control_seed, singular_values, rank, n_vectors, top, vectors, created_at)
               SELECT 1, 'mlp_out.' || n, 'mlp_out', n, 'raw', 'svd', 0, '', 0, '\\x0000803f', 64, {VECTORS}, {TOKENS},
                 '{{}}', now() FROM generate_series(0, {(self.directions - 1) // (2 * VECTORS)}) n""",
            READOUTS,
            f"""INSERT INTO atlas_direction (matrix_id, side, index, sign, singular_value, tokens, scores)
               SELECT (SELECT min(id) FROM atlas_matrix) + m / {2 * VECTORS}, 'write', m % {2 * VECTORS} / 2,
                 CASE m % 2 WHEN 0 THEN '+' ELSE '-' END, 1, tokens, decode(repeat('0000803f', {TOKENS}), 'hex')
               FROM generate_series(0, {self.directions - 1}) m JOIN readout ON n = m % 1000""",
            f"""INSERT INTO labelling_item (project_id, direction_id, opaque_id, position, inclusion_probability,
                 exploration, n_judged, is_open)
               SELECT {project.pk}, id, substr(md5(id::text), 1, 16), row_number() OVER (ORDER BY md5(id::text)) - 1,
                 {self.items / self.directions}, false, 0, true
               FROM (SELECT id FROM atlas_direction ORDER BY md5(id::text || 'drawn') LIMIT {self.items}) drawn""",
            f"UPDATE labelling_item SET n_judged = {OVERLAP}, is_open = false WHERE position < {self.done}",
            judgements(
                f"'{project.source}'", f"{first} + (position * {OVERLAP} + k) % {PEOPLE}",
                f"""labelling_item, generate_series(0, {OVERLAP - 1}) k WHERE position < {self.done}
                    ORDER BY position, k""",
                "direction_id",
            ),
            judgements(
                "'run:1'", str(machine.pk),
                f"atlas_direction ORDER BY id LIMIT {self.directions // JUDGEMENTS_SHARE // 2}", "id",
            ),
            """INSERT INTO judgements_summary (matrix_id, judge_id, rule, interpretable, not_interpretable, unsure,
                 unparsed, failed)
               SELECT matrix_id, judge_id, 'labeler', count(*), 0, 0, 0, 0 FROM judgements_judgement j
               JOIN atlas_direction d ON d.id = j.direction_id GROUP BY matrix_id, judge_id""",
        )  # fmt: skip
        with self.connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")

    def execute(self, *statements: str) -> None:
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def judgements(source: str, judge: str, rows: str, direction: str, verdict: str = "'interpretable'") -> str:
    return f"""INSERT INTO judgements_judgement (direction_id, judge_id, source, current, blind, verdict, label,
          kind, reason, misfits, tokens_shown, guidelines_version, seconds, evidence, created_at)
        SELECT {direction}, {judge}, {source}, true, true, {verdict}, 'words of one kind',
          'topic', '', '[]', 15, 1, 6, '{{}}', now() - interval '1 hour' FROM {rows}"""


class Person:
    """Somebody at work in one database: the item on the page, and what an answer to it brings."""

    def __init__(self, database: Database, name: str) -> None:
        from django.test import Client

        from labelapp.accounts.models import User

        self.database = database
        self.client = Client()
        with database.chosen():
            self.user = User.objects.get(username=name)
            self.client.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")
            self.page = self.client.get("/label/bench/", headers={"HX-Request": "true"}).content.decode()

    def answer(self) -> float:
        """Judge the item on the page; seconds of the request, which brings the next one."""
        address, body = answer_to(self.page)
        with self.database.chosen():
            start = time.perf_counter()
            response = self.client.post(address, body, headers={"HX-Request": "true"})
            spent = time.perf_counter() - start
        assert response.status_code == 200, response.content.decode()
        self.page = response.content.decode()
        return spent

    def queries(self) -> list[str]:
        """The statements of one answer, without those that open and close transactions."""
        from django.test.utils import CaptureQueriesContext

        with self.database.chosen(), CaptureQueriesContext(self.database.connection) as captured:
            self.answer()
        return [it["sql"] for it in captured if it["sql"].split()[0] not in ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")]


def answer_to(page: str) -> tuple[str, dict[str, str]]:
    """Where the card on a page is sent, and an answer to it."""
    found = re.search(r'action="(/label/bench/items/[\w-]+/judge/)"', page)
    seen = re.search(r'name="seen" value="(\d+)"', page)
    assert found and seen, f"there is no card on the page: {page[:200]}"
    return found[1], {"verdict": "interpretable", "label": "words of one kind", "kind": "topic", "seen": seen[1]}


def one_person(bench: Bench, large: Database, small: Database, answers: int) -> None:
    people = {it.name: Person(it, "person0") for it in (small, large)}
    times: dict[str, list[float]] = {name: [] for name in people}
    for turn in range(answers + WARM_UP):
        for name in sorted(people, reverse=bool(turn % 2)):
            spent = people[name].answer()
            if turn >= WARM_UP:
                times[name].append(1000 * spent)
    statements = people["large"].queries()
    sign_in = [it for it in statements if "django_session" in it or 'FROM "accounts_user"' in it]
    rows = [[name, f"{people[name].database.directions}", *row_of(found)] for name, found in sorted(times.items())]
    bench.table(["database", "directions", "median ms", "95th percentile ms", "longest ms"], rows)
    bench.note(f"Queries of one answer: {len(statements)}, {len(sign_in)} of them for who is signed in.")
    median = {name: statistics.median(found) for name, found in times.items()}
    bench.at_most("save-and-next-median", median["large"], "ms", 30)
    bench.at_most("save-and-next-p95", p95(times["large"]), "ms", 100)
    bench.at_most("queries-beside-the-sign-in", len(statements) - len(sign_in), "queries", 8)
    bench.at_most("large-to-small", median["large"] / median["small"], "times", 1.2)


def many_people(bench: Bench, database: Database, each: int, data: Path) -> None:
    """Everybody's answers, as fast as they come back; an error is any answer but 200, and any item judged too often."""
    cookies = []
    for n in range(PEOPLE):
        person = Person(database, f"person{n}")
        cookies.append(person.client.cookies["sessionid"].value)
    with database.chosen():
        before = standing_count()
    times: list[float] = []
    problems: list[str] = []
    with gunicorn(database) as port:
        start = threading.Barrier(PEOPLE + 1)
        threads = [
            threading.Thread(target=work, args=[port, cookie, each, start, times, problems]) for cookie in cookies
        ]
        for thread in threads:
            thread.start()
        start.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        whole = time.perf_counter() - began
    with database.chosen():
        taken = standing_count() - before
        too_often = judged_too_often()
    for problem in problems[:5]:
        bench.note(f"- {problem}")
    bench.table(
        ["people", "answers", "seconds", "answers a second", "median ms", "95th percentile ms"],
        [
            [
                str(PEOPLE),
                str(taken),
                f"{whole:.1f}",
                f"{len(times) / whole:.0f}",
                ms(statistics.median(times or [float("nan")])),
                ms(p95(times)),
            ]
        ],
    )
    bench.at_most("errors-of-fifty", len(problems), "errors", 0)
    bench.at_most("answers-lost-or-doubled", abs(taken - PEOPLE * each) + too_often, "answers", 0)


def standing_count() -> int:
    from labelapp.judgements.models import Judgement

    return Judgement.objects.filter(source__startswith="project:", current=True).count()


def judged_too_often() -> int:
    from django.db.models import Count

    from labelapp.judgements.models import Judgement

    rows = Judgement.objects.filter(source__startswith="project:", current=True)
    return rows.order_by().values("direction").annotate(n=Count("judge")).filter(n__gt=OVERLAP).count()


def work(port: int, session: str, each: int, start: threading.Barrier, times: list[float], problems: list[str]) -> None:
    ask = browser(port, session)
    try:
        _, page = ask("GET", "/label/bench/", None)
    except (OSError, http.client.HTTPException) as error:
        page = repr(error)
    start.wait()
    for _ in range(each):
        began = time.perf_counter()
        try:
            address, body = answer_to(page)
            status, page = ask("POST", address, urlencode(body))
        except (OSError, http.client.HTTPException, AssertionError) as error:
            problems.append(repr(error))
            return
        times.append(1000 * (time.perf_counter() - began))
        if status != 200:
            problems.append(f"{status}: {page[:200]}")
            return


def browser(port: int, session: str) -> Callable[[str, str, str | None], tuple[int, str]]:
    """Ask with one person's cookies."""
    token = "t" * 32
    headers = {
        "HX-Request": "true", "X-CSRFToken": token, "Cookie": f"sessionid={session}; csrftoken={token}",
        "Content-Type": "application/x-www-form-urlencoded",
    }  # fmt: skip

    def ask(method: str, address: str, body: str | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, address, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    return ask


@contextmanager
def gunicorn(database: Database) -> Iterator[int]:
    """The web as `./tea up` starts it, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--preload", "--workers", "2"]
    command = [sys.executable, "-m", "gunicorn", *options, "--threads", "4", "labelapp.config.wsgi:application"]
    process = subprocess.Popen(command, cwd=ROOT, env=database.environment, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_SECONDS
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit("bench: gunicorn did not start.")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else float("nan")


def row_of(found: list[float]) -> list[str]:
    """Median, 95th percentile and longest."""
    return [ms(statistics.median(found)), ms(p95(found)), ms(max(found))]


def ms(value: float) -> str:
    return f"{value:.1f}"
