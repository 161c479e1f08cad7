"""The prompt lab's page: which judges, on what, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.autolabel.models import PromptVersion
from labelapp.jobs.pages import progress_context
from labelapp.judgements.models import Judge
from labelapp.judgements.rules import RULES
from labelapp.judgements.visibility import HIDDEN_COUNT
from labelapp.labelling.models import Project
from labelapp.labelling.selectors import REVIEWING_ROLES, project_get_for
from labelapp.review.exports import truth_subject_name
from labelapp.review.forms import MOST_DIGITS
from labelapp.review.lab import (
    JUDGES_AT_FIRST,
    MOST_JUDGES,
    Differing,
    Reference,
    differing,
    is_shown,
    judges_of_reference,
)
from labelapp.review.lab_stored import Answer, Question, answer, lab_start
from labelapp.review.models import Entry
from labelapp.review.truth import truth_get, truths_of
from labelapp.review.truth_drawn import disputed_words
from labelapp.review.truth_rules import GroundTruthError

SETS_OFFERED = 50
PROMPTS_OFFERED = 50
BOTH_PARTS = "all"
DEFAULT_SAYS = "both for a judge with a verifier, else labeler"


@require_GET
def prompt_lab(request: SignedInRequest, slug: str) -> HttpResponse:
    """`?set=NAME@2` (the project itself without), `?part=held_out|development|all`, `?judge=` once for each judge,
    `?first=` the one that the others are compared with, `?rule=`, `?after=`; `?all=1` hides nothing."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    question, offered = _question(request.GET, project)
    reference, judges, rule = question.reference, question.judges, question.rule
    shows_all, after = request.GET.get("all") == "1", _number(request, "after")
    found = Answer(None)
    items: list[Differing] = []
    more: int | None = None
    is_hidden = bool(judges) and not shows_all and not is_shown(reference, request.user)
    if judges and not is_hidden:
        found = answer(question)
        if found.lab is not None:
            items, more = differing(found.lab, project, request.user, after=after, show_hidden=shows_all)
    pairs = _pairs(question, shows_all)
    query = f"?{urlencode(pairs)}"
    context = {
        "project": project,
        "reference": reference,
        "sets": truths_of(project)[:SETS_OFFERED],
        "parts": [("held_out", "held out"), ("development", "development"), (BOTH_PARTS, "both parts")],
        "part": reference.part or BOTH_PARTS,
        "rules": [("", DEFAULT_SAYS), *((it.name, it.says) for it in RULES.values())],
        "rule": rule,
        "offered": [(it, it in judges) for it in offered],
        "first": judges[0] if judges else None,
        "lab": found.lab,
        "disputed": disputed_words(reference.truth) if found.lab and reference.truth else "",
        "answer": found,
        "fields": pairs,
        "hidden_words": HIDDEN_COUNT.capitalize() if is_hidden else "",
        "hidden_query": f"?{urlencode(_pairs(question, True))}",
        "items": items,
        "next_query": f"{query}&{urlencode({'after': more})}" if more else "",
        "first_query": query if request.GET.get("after") else "",
        "most_judges": MOST_JUDGES,
        "subject": truth_subject_name(reference.truth) if reference.truth else f"project:{project.slug}",
        "prompts": PromptVersion.objects.filter(kind="labeler").order_by("-pk")[:PROMPTS_OFFERED],
    }
    if found.job is not None:
        context |= progress_context(found.job, user=request.user)
    return render(request, "review/lab.html", context)


@require_POST
def lab_compute(request: SignedInRequest, slug: str) -> HttpResponse:
    """Enqueue the comparison that the form's fields name, as the page's address does."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    question, _ = _question(request.POST, project)
    if not question.judges:
        raise Http404("No machine has judged any of this.")
    if question.is_heavy:  # else the page answers it
        lab_start(question=question, user=request.user)
    pairs = _pairs(question, request.POST.get("all") == "1")
    return redirect(f"{reverse('review:lab', args=[slug])}?{urlencode(pairs)}")


def _question(data: QueryDict, project: Project) -> tuple[Question, list[Judge]]:
    """What is asked, and the judges that are offered. Raises Http404."""
    reference = _reference(data, project)
    offered = judges_of_reference(reference)
    rule = data.get("rule", "")
    if rule not in ("", *RULES):
        raise Http404("There is no such verdict rule here.")
    return Question(reference, _judges(data, offered), rule), offered


def _reference(data: QueryDict, project: Project) -> Reference:
    """By default the held-out part of the newest set; without a set the project. Raises Http404."""
    named = data.get("set")
    if named is None:
        newest = truths_of(project).first()
        named = str(newest) if newest else ""
    if not named:
        return Reference(project)
    name, _, version = named.partition("@")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise Http404("There is no such ground-truth set.")
    try:
        truth = truth_get(project, name, int(version))
    except GroundTruthError as error:
        raise Http404(str(error)) from None
    part = data.get("part", "held_out" if truth.n_held_out else BOTH_PARTS)
    if part not in (*Entry.Part.values, BOTH_PARTS):
        raise Http404("A ground-truth set has a development and a held-out part.")
    return Reference(project, truth, "" if part == BOTH_PARTS else part)


def _judges(data: QueryDict, offered: Sequence[Judge]) -> list[Judge]:
    """Those that the address names, else the newest; the one named `first` leads. Raises Http404."""
    numbers = data.getlist("judge")
    known = {str(it.pk): it for it in offered}
    if not all(it in known for it in numbers) or len(set(numbers)) > MOST_JUDGES:
        raise Http404(f"The lab compares up to {MOST_JUDGES} machines that judged something of this.")
    chosen = [known[it] for it in dict.fromkeys(numbers)] or list(offered[:JUDGES_AT_FIRST])
    first = data.get("first", "")
    return sorted(chosen, key=lambda it: (str(it.pk) != first, it.pk))


def _number(request: SignedInRequest, name: str) -> int:
    value = request.GET.get(name, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS):
        raise Http404("There is no such page.")
    return int(value)


def _pairs(question: Question, shows_all: bool) -> list[tuple[str, Any]]:
    """As they stand in the page's address, and as hidden fields of its form."""
    reference, judges = question.reference, question.judges
    pairs: list[tuple[str, Any]] = [("set", str(reference.truth) if reference.truth else "")]
    if reference.truth:
        pairs.append(("part", reference.part or BOTH_PARTS))
    pairs += [("judge", it.pk) for it in judges]
    pairs += [("first", judges[0].pk)] if judges else []
    pairs += [("rule", question.rule)] if question.rule else []
    pairs += [("all", "1")] if shows_all else []
    return pairs
