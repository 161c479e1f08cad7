"""What the people of a project say together, and how each of them says it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.panels import hidden_directions
from labelapp.judgements.models import TWO_VALUED
from labelapp.judgements.visibility import count_is_shown
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.access import project_get_for
from labelapp.review.aggregation import AggregationError, aggregation_last, aggregation_start
from labelapp.review.models import Aggregation


@require_GET
def aggregation(request: SignedInRequest, slug: str) -> HttpResponse:
    """The last one that is done, and one that is under way; `?all=1` shows counts of what is to be judged blind."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    last = aggregation_last(project)
    yes = no = n_hidden = 0
    if last is not None:
        yes, no = last.proposals.filter(yes__gt=0.5).count(), last.proposals.filter(yes__lt=0.5).count()
        waiting = hidden_directions(request.user).values("pk")
        n_hidden = last.proposals.filter(item__direction__in=waiting).count()
    context = {
        "project": project,
        "last": last,
        "yes": yes,
        "no": no,
        "is_shown": request.GET.get("all") == "1" or count_is_shown(yes + no, n_hidden),
        "annotators": [(it, _rows(it["confusion"])) for it in last.annotators] if last else [],
        "newest": Aggregation.objects.filter(project=project).select_related("job").order_by("-pk").first(),
        "methods": Aggregation.Method.choices,
    }
    return render(request, "review/aggregation.html", context)


@require_POST
def start(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    try:
        made = aggregation_start(project=project, method=request.POST.get("method", ""), user=request.user)
    except AggregationError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{made.job.title}: it is under way, and proposes verdicts when it is done.")
    return redirect("review:aggregation", project.slug)


def _rows(confusion: dict[str, dict[str, float]]) -> list[tuple[str, list[tuple[float, int]]]]:
    """A confusion matrix for the page: the true verdict, and in each cell its probability and its heat."""
    names = dict(zip(TWO_VALUED, ("yes", "no"), strict=True))
    return [
        (name, [(confusion[true][said], round(20 * confusion[true][said])) for said in TWO_VALUED])
        for true, name in names.items()
        if true in confusion
    ]
