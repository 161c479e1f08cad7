"""`{% job_progress job %}` on any page: how far it is, by itself kept up to date until it is over."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from labelapp.jobs.models import Job
from labelapp.jobs.pages import progress_context

register = template.Library()


@register.inclusion_tag("jobs/progress.html", takes_context=True)
def job_progress(context: Context, job: Job, poll: str = "") -> dict[str, Any]:
    """`poll` is the address that serves this fragment, where it is not the jobs' own."""
    return progress_context(job, poll, context.get("user"))


@register.filter
def duration(seconds: float | None) -> str:
    """In words, roughly: "40 s", "12 min", "3 h 20 min"; empty for None."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
