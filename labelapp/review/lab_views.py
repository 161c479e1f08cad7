"""The prompt lab's page: which judges, on what, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.autolabel.models import PromptVersion
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
    Lab,
    Reference,
    differing,
    is_shown,
    judges_of_reference,
    lab,
)
from labelapp.review.lab_query import RULES as RULES_OFFERED
from labelapp.review.models import Entry
from labelapp.review.truth import truth_get, truths_of
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
    reference = _reference(request, project)
    offered = judges_of_reference(reference)
    judges = _judges(request, offered)
    rule = request.GET.get("rule", "")
    if rule not in ("", *RULES_OFFERED):
        raise Http404("There is no such verdict rule here.")
    shows_all, after = request.GET.get("all") == "1", _number(request, "after")
    found: Lab | None = None
    items: list[Differing] = []
    more: int | None = None
    is_hidden = bool(judges) and not shows_all and not is_shown(reference, request.user)
    if judges and not is_hidden:
        found = lab(reference, judges, rule)
        items, more = differing(found, project, request.user, after=after, show_hidden=shows_all)
    query = _query(reference, judges, rule, shows_all)
    context = {
        "project": project,
        "reference": reference,
        "sets": truths_of(project)[:SETS_OFFERED],
        "parts": [("held_out", "held out"), ("development", "development"), (BOTH_PARTS, "both parts")],
        "part": reference.part or BOTH_PARTS,
        "rules": [("", DEFAULT_SAYS), *((name, RULES[name].says) for name in RULES_OFFERED)],
        "rule": rule,
        "offered": [(it, it in judges) for it in offered],
        "first": judges[0] if judges else None,
        "lab": found,
        "hidden_words": HIDDEN_COUNT.capitalize() if is_hidden else "",
        "hidden_query": _query(reference, judges, rule, True),
        "items": items,
        "next_query": f"{query}&{urlencode({'after': more})}" if more else "",
        "first_query": query if request.GET.get("after") else "",
        "most_judges": MOST_JUDGES,
        "subject": truth_subject_name(reference.truth) if reference.truth else f"project:{project.slug}",
        "prompts": PromptVersion.objects.filter(kind="labeler").order_by("-pk")[:PROMPTS_OFFERED],
    }
    return render(request, "review/lab.html", context)


def _reference(request: SignedInRequest, project: Project) -> Reference:
    """By default the held-out part of the newest set; without a set the project. Raises Http404."""
    named = request.GET.get("set")
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
    part = request.GET.get("part", "held_out" if truth.n_held_out else BOTH_PARTS)
    if part not in (*Entry.Part.values, BOTH_PARTS):
        raise Http404("A ground-truth set has a development and a held-out part.")
    return Reference(project, truth, "" if part == BOTH_PARTS else part)


def _judges(request: SignedInRequest, offered: Sequence[Judge]) -> list[Judge]:
    """Those that the address names, else the newest; the one named `first` leads. Raises Http404."""
    numbers = request.GET.getlist("judge")
    known = {str(it.pk): it for it in offered}
    if not all(it in known for it in numbers) or len(set(numbers)) > MOST_JUDGES:
        raise Http404(f"The lab compares up to {MOST_JUDGES} machines that judged something of this.")
    chosen = [known[it] for it in dict.fromkeys(numbers)] or list(offered[:JUDGES_AT_FIRST])
    first = request.GET.get("first", "")
    return sorted(chosen, key=lambda it: (str(it.pk) != first, it.pk))


def _number(request: SignedInRequest, name: str) -> int:
    value = request.GET.get(name, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS):
        raise Http404("There is no such page.")
    return int(value)


def _query(reference: Reference, judges: Sequence[Judge], rule: str, shows_all: bool) -> str:
    pairs: list[tuple[str, Any]] = [("set", str(reference.truth) if reference.truth else "")]
    if reference.truth:
        pairs.append(("part", reference.part or BOTH_PARTS))
    pairs += [("judge", it.pk) for it in judges]
    pairs += [("first", judges[0].pk)] if judges else []
    pairs += [("rule", rule)] if rule else []
    pairs += [("all", "1")] if shows_all else []
    return "?" + urlencode(pairs)
