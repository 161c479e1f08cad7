"""A run on the command line: its bar while it works, and a sentence when it ends or is left."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

from django.core.management.base import CommandError
from tqdm import tqdm

from labelapp.autolabel.models import Run
from labelapp.autolabel.pages import money_words
from labelapp.autolabel.selectors import run_errors, run_tally
from labelapp.jobs.control import job_pause
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import State
from labelapp.jobs.selectors import JobProgress

COMMAND = "manage.py autolabel"


def run_follow(run: Run) -> str:
    """Show a run until it ends; return the sentence that says how. Raises CommandError where it failed or paused.

    At Ctrl-C a run goes on in the workers; where there is none, and this process does the work, it is paused.
    """
    paused_here = False

    def pause() -> None:
        nonlocal paused_here
        sys.stderr.write("\nStopping; the calls that are under way are finished first …\n")
        paused_here = job_pause(run.job, "Stopped on the command line.")

    bar_format = "{desc}{bar} {percentage:3.0f}% {postfix}"
    try:
        with tqdm(total=100, file=sys.stderr, bar_format=bar_format, disable=None) as bar:
            progress = job_wait(run.job, _Shown(run, bar), pause)
    except KeyboardInterrupt:
        sys.stderr.write(left_sentence(run, paused=paused_here) + "\n")
        raise SystemExit(130) from None
    if progress.state == State.PAUSED:
        raise CommandError(f"Run {run.pk} is paused. {progress.error} `{COMMAND} --resume {run.pk}` goes on.")
    if progress.state != State.DONE:
        raise CommandError(
            f"Run {run.pk} {'was cancelled' if progress.state == State.CANCELLED else 'failed'}. "
            f"{progress.error or 'What was answered before is kept.'}"
        )
    return end_sentence(run)


def end_sentence(run: Run) -> str:
    run.refresh_from_db()
    tally = run_tally(run)
    sentence = f"Run {run.pk} is done: {tally.done} directions {'judged' if run.is_judging else 'answered'}"
    if tally.failed:
        kinds = ", ".join(f"{kind} {n}" for kind, n in tally.errors.items())
        sentence += f", {tally.failed} failed ({kinds}); `{COMMAND} --retry-failed {run.pk}` asks about those again"
    return f"{sentence}. {money_words(run).capitalize()}."


def left_sentence(run: Run, *, paused: bool) -> str:
    """What becomes of a run that is not waited for any more."""
    run.refresh_from_db()
    tally = run_tally(run)
    done = f"{tally.done + tally.failed} of {tally.total} directions are done, {money_words(run)}"
    if paused:
        return f"Run {run.pk} is paused: {done}. `{COMMAND} --resume {run.pk}` goes on."
    return (
        f"Run {run.pk} goes on in the workers: {done}. `{COMMAND} --resume {run.pk}` shows it again, "
        f"`--pause {run.pk}` pauses it, `--cancel {run.pk}` ends it."
    )


class _Shown:
    """One line, written over, on a terminal; a line for every tenth in a log."""

    def __init__(self, run: Run, bar: tqdm[NoReturn]) -> None:
        self.run, self.bar = run, bar
        self.tenth = -1  # the first line comes at once: from it on Ctrl-C is answered in words
        self.started = time.monotonic()
        self.done_before: int | None = None

    def __call__(self, progress: JobProgress) -> None:
        if self.done_before is None:
            self.done_before = progress.done
        if self.bar.disable and progress.percent // 10 <= self.tenth:
            return
        self.tenth = progress.percent // 10
        words = self._words(progress)
        if self.bar.disable:
            sys.stderr.write(f"Run {self.run.pk}: {progress.percent} %, {words}\n")
            return
        self.bar.set_description_str(f"Run {self.run.pk} ", refresh=False)
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(progress.percent - self.bar.n)
        self.bar.refresh()

    def _words(self, progress: JobProgress) -> str:
        self.run.refresh_from_db(fields=["spent", "lost", "budget"])
        parts = [f"{progress.done} of {progress.total}"]
        done, seconds = progress.done - (self.done_before or 0), time.monotonic() - self.started
        if done > 0:
            rate = done / seconds
            parts.append(f"{rate:.3g} a second" if rate >= 1 else f"{60 * rate:.3g} a minute")
            if not progress.is_over:
                parts.append(f"{_seconds_words((progress.total - progress.done) / rate)} left")
        parts.append(money_words(self.run))
        parts += [f"{kind} {n}" for kind, n in run_errors(self.run).items()]
        return ", ".join(parts)


def _seconds_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
