"""Tasks that ask language models. Light until the first of them runs: openai comes in with the client."""

from __future__ import annotations

import asyncio
import logging

from django.conf import settings

from labelapp.autolabel.asking import Asker, asker_of, price_of_run, subject_of
from labelapp.autolabel.models import Run
from labelapp.autolabel.money import reservation_open
from labelapp.autolabel.results import items_pending
from labelapp.jobs.control import job_pause
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import job_completion, job_release
from workers.llm.errors import PromptError, ProviderError
from workers.llm.pacing import pacer_open
from workers.llm.prices import dollars
from workers.tasks.base import job_task
from workers.tasks.journal import Journal
from workers.tasks.llm_chunk import ChunkRun
from workers.tasks.llm_items import Item

logger = logging.getLogger(__name__)


@job_task("workers.tasks.llm.run_chunk", user_errors=lambda: (PromptError, ProviderError))
def run_chunk(job: Job) -> None:
    """Ask about the pending items of one chunk of a run, until all are done or failed, or it is to stop."""
    related = ("judge", "verifier_judge", "labeler", "verifier", "detector", "job")
    run = Run.objects.select_related(*related).get(pk=job.params["run"])
    asker = asker_of(run)
    items = [
        Item(pk, direction_id, subject_of(tokens, asked)) for pk, direction_id, tokens, asked in items_pending(run, job)
    ]
    reservation_open(run.pk, job)
    with Journal(job) as journal:
        chunk = asyncio.run(_ask(run, job, asker, items, journal))
        journal.remove()  # everything in it is in the database
    if chunk.halted in ("money", "hopeless"):
        job_pause(run.job, chunk.reason or budget_sentence(run))
    if chunk.is_complete and chunk.halted != State.CANCELLED:
        with job_completion(job):
            pass
    elif chunk.halted != State.CANCELLED:
        job_release(job)  # a part of a paused job waits with it


async def _ask(run: Run, job: Job, asker: Asker, items: list[Item], journal: Journal) -> ChunkRun:
    from workers.llm.client import client_open

    chunk = ChunkRun(run, job, asker, price_of_run(run), items, journal)
    provider = client_open(asker.config)
    pacer = pacer_open(asker.config, settings.CELERY_BROKER_URL)
    try:
        await chunk.ask_all(provider, pacer)
    finally:
        await provider.close()
        await pacer.close()
    return chunk


def budget_sentence(run: Run) -> str:
    """Why a run pauses that has no money left."""
    now = Run.objects.get(pk=run.pk)
    lost = f", {dollars(now.lost)} of them on calls without an answer" if now.lost else ""
    return (
        f"The budget of {dollars(now.budget or 0)} does not pay for another call ({dollars(now.spent + now.lost)} "
        f"are spent{lost}); raise the budget and resume."
    )
