"""The page on which people answer trials. The same addresses serve a plain form and, for its script, its parts."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.answering import said_to_scripts
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.queue import BEAT_SECONDS
from labelapp.labelling.selectors import REVIEWING_ROLES, Seat, seat_get_for
from labelapp.labelling.trials.cards import trial_state
from labelapp.labelling.trials.models import ChoiceTest, Trial
from labelapp.labelling.trials.queue import claims_prolong
from labelapp.labelling.trials.services import trial_answer

GIVEN_AWAY = "This one lay here for long and is with somebody else now. Answer all the same: the first answer is taken."
MOST_DIGITS = 9  # of a choice


@never_cache
@require_GET
def trials(request: SignedInRequest, slug: str, test_id: int) -> HttpResponse:
    """The person's next trial."""
    seat, test = seat_and_test(request, slug, test_id)
    return _page(request, seat, test)


@require_POST
@said_to_scripts
def answer(request: SignedInRequest, slug: str, test_id: int, opaque_id: str) -> HttpResponse:
    seat, test = seat_and_test(request, slug, test_id)
    trial = Trial.objects.filter(test=test, opaque_id=opaque_id).select_related("test__project").first()
    if trial is None:
        raise Http404("This trial is not part of the test.")
    try:
        choice, seconds = _typed(request)
        trial_answer(trial=trial, user=request.user, choice=choice, seconds=seconds, seat=seat)
    except LabellingError as error:
        if request.htmx:
            return render(request, "partials/error.html", {"error": str(error)}, status=422)
        return _page(request, seat, test, error=str(error), status=422)
    if request.htmx:
        return _page(request, seat, test)
    return redirect("labelling:trials", slug, test_id)


@require_POST
@said_to_scripts
def beat(request: SignedInRequest, slug: str, test_id: int) -> HttpResponse:
    """The page's heartbeat: the trials on it stay the person's. `item` comes once for each, the one shown first."""
    seat, test = seat_and_test(request, slug, test_id)
    wanted = request.POST.getlist("item")[:2]
    if seat.project.state != Project.State.OPEN or not wanted:
        return HttpResponse(status=204)
    claims_prolong(test, request.user, wanted[1:])
    if claims_prolong(test, request.user, wanted[:1]) or test.answers.filter(
        user=request.user, trial__opaque_id=wanted[0]
    ):
        return HttpResponse(status=204)
    return render(request, "partials/error.html", {"error": GIVEN_AWAY}, status=409)


def seat_and_test(request: SignedInRequest, slug: str, test_id: int) -> tuple[Seat, ChoiceTest]:
    """For whoever judges in the project. Raises Http404, PermissionDenied."""
    seat = seat_get_for(request.user, slug)
    test = seat.project.tests.filter(pk=test_id).first()
    if test is None:
        raise Http404("There is no such test in this project.")
    test.project = seat.project
    return seat, test


def _typed(request: SignedInRequest) -> tuple[int, float | None]:
    """What was chosen, and in how many seconds. Raises LabellingError."""
    text = request.POST.get("choice", "")
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise LabellingError("Nothing was chosen; press the number of the one you mean.")
    try:
        seconds = float(request.POST.get("seconds") or "nan")
    except ValueError:
        seconds = float("nan")
    return int(text), seconds if seconds == seconds else None  # NaN is not itself


def _page(
    request: SignedInRequest, seat: Seat, test: ChoiceTest, *, error: str = "", status: int = 200
) -> HttpResponse:
    """The whole page, or, for its script, what changes in it."""
    context = {
        "project": seat.project,
        "test": test,
        "is_intrusion": test.kind == ChoiceTest.Kind.INTRUSION,
        "is_open": seat.project.state == Project.State.OPEN and test.ended_at is None,
        "state": trial_state(test, request.user),
        "reviews": seat.role in REVIEWING_ROLES,
        "beat_seconds": BEAT_SECONDS,
        "error": error,
    }
    name = "labelling/intrusion_parts.html" if request.htmx else "labelling/intrusion.html"
    return render(request, name, context, status=status)
