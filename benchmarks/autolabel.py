"""Automated labelling by a real worker, against a bare asyncio loop on the same client and the same server.

The server speaks the OpenAI protocol, answers after 200 ms and has a process of its own; so have the worker (Celery on
the queue llm, as `./tea up` starts it, with a private broker) and each bare loop. A run's calls a second count its
whole: from the moment at which the worker takes up the first part until the last one is stored, against the bare
loop's from its first call to its last answer. Both ask the same prompts, in turn, several times; a warm-up comes first.
The bare loop is the one that the client's documentation shows; beside it stands one that takes the client's shortest
way, sends ready bodies and reads nothing. SQLite, and PostgreSQL where it is found.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Bench
from tests.llm.server import Server

LATENCY = 0.2
IN_FLIGHT = 64
LABELER, VERIFIER = "labeler-few-shot-negative-chat", "verifier-few-shot-chat"
LABEL = "most of these words relate to animals."
WARM_UP = 200
WAYS = ("typed", "raw", "worker")
SYLLABLES = ("ar", "bel", "cor", "da", "en", "fi", "gor", "hu", "il", "jo", "ka", "lum", "mer", "no", "os", "pra")


def run(bench: Bench) -> None:
    options = arguments(bench.arguments)
    bench.libraries += ["openai", "Django", "celery", "psycopg"]
    with tempfile.TemporaryDirectory(prefix="tealeaves-bench-") as temporary, Server(latency=LATENCY) as server:
        for database in options.databases:
            with database_url(database, Path(temporary)) as url:
                if url is None:
                    bench.note("PostgreSQL was not found, so the runs on it are left out.")
                    continue
                data = Path(temporary) / f"data-{database}"
                report(bench, database, site(data, url, server, options), options)


def arguments(given: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./tea bench autolabel")
    parser.add_argument("--directions", type=int, default=3000, help="in a run; each takes two calls")
    parser.add_argument("--repeats", type=int, default=3, help="runs, each with its bare loops")
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    return parser.parse_args(given)


@contextmanager
def database_url(database: str, temporary: Path) -> Iterator[str | None]:
    """An empty database; "" is the data directory's own SQLite, None says that PostgreSQL was not found."""
    if database == "sqlite":
        yield ""
        return
    from tests.support.services import PrivatePostgres, postgres_folder

    if postgres_folder() is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tl-pg-") as folder:  # a Unix socket's path must be short
        postgres = PrivatePostgres(Path(folder))
        postgres.start()
        try:
            yield postgres.url
        finally:
            postgres.stop()


def site(data: Path, url: str, server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """`one_site` in a process of its own, since Django's settings are read once."""
    (data / "static").mkdir(parents=True)
    environment = {**os.environ, "TEALEAVES_DATA": str(data), "DJANGO_SETTINGS_MODULE": "labelapp.config.settings"}
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        environment.pop(name, None)
    if url:
        environment["DATABASE_URL"] = url
    settings = {"URL": server.url, "KEY": "sk-bench", "IN_FLIGHT": str(IN_FLIGHT), "LOGPROBS": "yes"}
    environment |= {f"TEALEAVES_LLM_BENCH_{name}": value for name, value in settings.items()}
    told = json.dumps([server.port, options.directions, options.repeats])
    code = f"from benchmarks.autolabel import one_site; one_site(*{told})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(bench: Bench, database: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    calls = 2 * options.directions
    rates = {way: [calls / wall for wall, _ in found["seconds"][way]] for way in WAYS}
    cpu = {way: 1000 * statistics.median(busy for _, busy in found["seconds"][way]) / calls for way in WAYS}
    middle = {way: statistics.median(rates[way]) for way in WAYS}
    named = {
        "typed": "bare loop, chat.completions.create",
        "raw": "bare loop, client.post, nothing read",
        "worker": f"run by a worker, all stored in {database}",
    }
    bench.table(
        [
            f"{calls} calls, {IN_FLIGHT} in flight, {1000 * LATENCY:.0f} ms",
            "calls a second, median",
            "each time",
            "ms of CPU a call, median",
        ],
        [[named[way], middle[way], ", ".join(f"{rate:.0f}" for rate in rates[way]), cpu[way]] for way in WAYS],
    )
    held = found["held"]
    bench.table(
        [f"the database's thread, {database}", "seconds in 1,000 calls", "of it CPU"],
        [[name, wall, cpu] for name, wall, cpu in found["database"]],
    )
    bench.note(f"The worker's processes held at most {', '.join(f'{megabytes:.0f} MB' for megabytes in held)} each.")
    bench.at_least(f"{database}_run_over_bare_loop", 100 * middle["worker"] / middle["typed"], "%", 90)
    bench.plain(f"{database}_run_over_raw_loop", 100 * middle["worker"] / middle["raw"], "%")
    bench.at_most(f"{database}_worker_peak_memory", sum(held), "MB", 400)
    bench.at_most(f"{database}_worker_processes_with_torch", found["with_torch"], "processes", 0)
    bench.at_most(f"{database}_rows_missing", found["missing"], "rows", 0)
    bench.plain(f"{database}_seconds_on_1000_calls", sum(wall for _, wall, _ in found["database"]), "s")


# In the process of a site


def one_site(port: int, directions: int, repeats: int) -> None:
    """Prints what was found on one database as JSON: see `report`."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from labelapp.autolabel.prompts import prompts_load
    from labelapp.config.paths import broker_socket
    from tests.support.services import PrivateBroker

    server = Server()
    server.port = port
    prompts_load()
    data = Path(settings.DATA_DIR)
    readouts_store(data / "readouts.jsonl", directions)
    requests = data / "requests.json"
    requests.write_text(json.dumps(requests_of_a_run()))
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    missing = 0
    with ExitStack() as stack:
        broker = PrivateBroker(broker_socket(data), data / "broker")
        broker.start()
        stack.callback(broker.stop)
        worker = worker_start(data / "worker.log")
        stack.callback(worker.wait)
        stack.callback(worker.terminate)
        finish(run_begin("warm-up", indices=tuple(range(20))))
        for repeat in range(repeats):
            for way in WAYS[repeat % 3 :] + WAYS[: repeat % 3]:
                if way == "worker":
                    server.tell(reset=True)
                    before = cpu_seconds(worker.pid)
                    run = run_begin(f"model-{repeat}")
                    seconds[way].append((finish(run), cpu_seconds(worker.pid) - before))
                    missing += rows_missing(run, directions, server.seen())
                else:
                    seconds[way].append(bare(requests, server.url, way))
        family = processes_of(worker.pid)
        held = [peak_resident(pid) for pid in family]
        with_torch = sum("libtorch" in Path(f"/proc/{pid}/maps").read_text() for pid in family)
    database = database_timed(lambda: run_begin("model-database"), 2 * directions)
    found = {"seconds": seconds, "missing": missing, "held": held, "with_torch": with_torch, "database": database}
    print(json.dumps(found))


def readouts_store(path: Path, directions: int) -> None:
    """An atlas of made-up words, by the import of readouts."""
    from labelapp.exchange.imports import readouts_import

    draw = random.Random(0)

    def word() -> str:
        return " " * draw.randrange(2) + "".join(draw.choices(SYLLABLES, k=draw.randrange(1, 4)))

    with path.open("w") as file:
        for number in range(directions):
            key = f"words/mlp_in.{number // 500}/{number % 500}+"
            file.write(json.dumps({"key": key, "tokens": [word() for _ in range(50)]}) + "\n")
    readouts_import(path)


def plan(model: str, indices: tuple[int, ...] = ()) -> Any:
    from labelapp.atlas.models import Model
    from labelapp.autolabel.prompts import prompt_get
    from labelapp.autolabel.providers import llm_get
    from labelapp.autolabel.runs import run_plan
    from labelapp.autolabel.selection import RunSelection

    config, llm = llm_get(f"bench:{model}")
    selection = RunSelection(Model.objects.get(name="words"), indices=indices)
    labeler, verifier = prompt_get(LABELER, "labeler"), prompt_get(VERIFIER, "verifier")
    return run_plan(selection=selection, labeler=labeler, verifier=verifier, config=config, llm=llm)


def run_begin(model: str, indices: tuple[int, ...] = ()) -> Any:
    """A run with a budget that it will not reach, on a language model that was not asked before."""
    from labelapp.autolabel.providers import llm_get, price_give
    from labelapp.autolabel.runs import run_start
    from workers.llm.prices import NANO, price_make

    price_give(*llm_get(f"bench:{model}"), price_make("0.15", "0.60"))
    return run_start(plan(model, indices), budget=1000 * NANO)


def requests_of_a_run() -> list[dict[str, Any]]:
    """The bodies of all its calls, as the client takes them."""
    from labelapp.autolabel.runs import plan_entries
    from workers.llm.parsing import labeler_parse

    planned = plan("bare")
    asker, said = planned.asker, labeler_parse(LABEL)
    questions = []
    for entry in plan_entries(planned):
        questions += [asker.label(entry.tokens), asker.verify(entry.tokens, said)]
    return [
        {
            "model": question.request.model,
            "messages": [{"role": one.role, "content": one.content} for one in question.request.messages],
            **question.request.parameters,
        }
        for question in questions
        if question is not None
    ]


def worker_start(log: Path) -> subprocess.Popen[bytes]:
    """The worker of the queue llm, as `./tea up` starts it; returns once it is there."""
    from labelapp.jobs.selectors import workers_alive
    from labelapp.operations.supervisor import celery_worker

    command = celery_worker("-Q", "llm", "-P", "threads", "-c", "1", "-n", "bench@%h")
    with log.open("ab") as output:
        worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    while not workers_alive("llm"):
        if worker.poll() is not None:
            raise RuntimeError(f"The worker did not start; its log is\n{log.read_text()}")
        time.sleep(0.2)
    return worker


def finish(run: Any) -> float:
    """Wait until a run is over; the seconds from when its first part was taken up until its last one was stored."""
    from django.db.models import Max, Min

    from labelapp.jobs.models import Job, State

    while (state := Job.objects.values_list("state", flat=True).get(pk=run.job_id)) in (State.QUEUED, State.RUNNING):
        time.sleep(0.5)
    if state != State.DONE:
        raise RuntimeError(f"{run}: {state}")
    took = Job.objects.filter(parent=run.job_id).aggregate(first=Min("started_at"), last=Max("finished_at"))
    return float((took["last"] - took["first"]).total_seconds())


def rows_missing(run: Any, directions: int, seen: dict[str, Any]) -> int:
    """How many rows a run lacks; raises where it asked anything twice, or its money does not add up."""
    from django.db.models import Sum

    from labelapp.autolabel.models import Call, RunItem
    from labelapp.judgements.models import Judgement, Verification

    calls = Call.objects.filter(llm=run.llm)
    run.refresh_from_db()
    assert seen["counts"]["asked"] == seen["answered"] == 2 * directions and not seen["repeated"], seen
    assert run.spent == calls.aggregate(spent=Sum("cost"))["spent"] and (run.reserved, run.lost) == (0, 0), run.spent
    done = RunItem.objects.filter(run=run, state=RunItem.State.DONE, verification="yes")
    judged = Judgement.objects.filter(source=run.source, current=True)
    verified = Verification.objects.filter(judgement__in=judged, answer="yes")
    return 5 * directions - sum(rows.count() for rows in (calls, done, judged, verified))


def processes_of(pid: int) -> list[int]:
    """A process and all below it."""
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in paths for child in path.read_text().split()]
    return [pid, *(each for child in children for each in processes_of(child))]


def peak_resident(pid: int) -> float:
    """The most MB (of 2^20 bytes) that a process has held at once so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def database_timed(begin: Callable[[], Any], calls: int) -> list[tuple[str, float, float]]:
    """One more run, in this process: by function of the database's thread, seconds and CPU seconds for 1,000 calls."""
    from labelapp.jobs.models import Job
    from workers.celery import app

    chunks: Any = importlib.import_module("workers.tasks.llm_chunk")
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    original = chunks.ChunkRun._database

    async def timed(chunk: Any, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        def act(*given: Any, **named: Any) -> Any:
            start, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*given, **named)
            finally:
                spent[function.__name__][0] += time.perf_counter() - start
                spent[function.__name__][1] += time.thread_time() - cpu

        return await original(chunk, act, *given, **named)

    chunks.ChunkRun._database = timed
    try:
        run = begin()
        app.loader.import_default_modules()
        for job in Job.objects.filter(parent=run.job_id).order_by("pk"):
            app.tasks[job.task].run(job.pk)
    finally:
        chunks.ChunkRun._database = original
    finish(run)
    return [(name, 1000 * wall / calls, 1000 * cpu / calls) for name, (wall, cpu) in sorted(spent.items())]


# The bare loop


def bare(requests: Path, url: str, way: str) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a bare loop in a process of its own."""
    code = f"from benchmarks.autolabel import bare_loop; bare_loop({str(requests)!r}, {url!r}, {way!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    wall, busy = map(float, done.stdout.split())
    return wall, busy


def bare_loop(path: str, url: str, way: str) -> None:
    """Prints the seconds, and CPU seconds, that all calls take, by one of the ways."""
    import openai

    bodies = json.loads(Path(path).read_text())

    async def ask_all() -> tuple[float, float]:
        client = openai.AsyncOpenAI(base_url=url, api_key="sk-bench", max_retries=0)

        async def ask(body: Any) -> None:
            if way == "typed":
                await client.chat.completions.create(**body)
            else:
                await client.post("/chat/completions", cast_to=str, body=body)

        async def member(waiting: Iterator[Any]) -> None:
            for body in waiting:
                await ask(body)

        async def all_of(some: Any) -> None:
            waiting = iter(some)
            await asyncio.gather(*(member(waiting) for _ in range(IN_FLIGHT)))

        await all_of(bodies[:WARM_UP])
        start, busy = time.perf_counter(), time.process_time()
        await all_of(bodies)
        return time.perf_counter() - start, time.process_time() - busy

    print(*asyncio.run(ask_all()))
