"""The labelling page. The same addresses serve a plain form and, for its script, parts of the page."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.judgements.models import LABEL_LENGTH, Judgement, Kind, Reason
from labelapp.judgements.services import JudgementError
from labelapp.labelling.answering import said_to_scripts
from labelapp.labelling.cards import Entry, queue_state
from labelapp.labelling.checks.card import CheckCard
from labelapp.labelling.checks.planning import checks_plan
from labelapp.labelling.checks.queue import check_judge, check_of, check_skip, checks_among, last_answer, last_undo
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.forms import AnswerForm
from labelapp.labelling.models import Item, Project, Skip
from labelapp.labelling.queue import BEAT_SECONDS, lease_end, leases_prolong
from labelapp.labelling.selectors import (
    REVIEWING_ROLES,
    Seat,
    item_get_for,
    item_seat_get_for,
    labels_used,
    seat_get_for,
)
from labelapp.labelling.services import item_judge, item_skip
from labelapp.labelling.subject_page import others_context, subject_context

# After the key that opens the reasons: the first one is that key again.
SKIP_KEYS = {"later": "s", "too_hard": "h", "unreadable": "r", "broken": "b"}
GIVEN_AWAY = (
    "This one lay here for long and is with somebody else now. Answer all the same: the first answers are taken."
)
NOTHING_TO_UNDO = "There is nothing to undo: no answer of yours stands in this project."


@never_cache
@require_GET
def queue(request: SignedInRequest, slug: str) -> HttpResponse:
    """The next item, or the one that `?item=` names."""
    seat = seat_get_for(request.user, slug)
    if checks_plan(seat):
        seat = seat_get_for(request.user, slug)
    item: Item | CheckCard | None = None
    if "item" in request.GET:
        item = check_of(seat, request.GET["item"]) or item_get_for(seat.project, request.GET["item"])
    return _page(request, seat, item=item)


@require_POST
@said_to_scripts
def judge(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    item, seat = item_seat_get_for(request.user, slug, opaque_id)
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _refused(request, seat, form.sentence(), item, form.entry())
    try:
        if isinstance(item, CheckCard):
            judgement = check_judge(check=item, user=request.user, seat=seat, **form.answer())
        else:
            judgement = item_judge(item=item, user=request.user, seat=seat, **form.answer())
    except (JudgementError, LabellingError) as error:
        return _refused(request, seat, str(error), item, form.entry())
    if seat.judge_id is None:  # the person's first judgement of all made the judge
        seat = seat_get_for(request.user, slug)
    return _go_on(request, seat, releasing=item, last=judgement)


@require_POST
@said_to_scripts
def skip(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    item, seat = item_seat_get_for(request.user, slug, opaque_id)
    reason = request.POST.get("why") or Skip.Reason.LATER
    try:
        if isinstance(item, CheckCard):
            check_skip(check=item, user=request.user, seat=seat, reason=reason)
        else:
            item_skip(item=item, user=request.user, seat=seat, reason=reason)
    except LabellingError as error:
        return _refused(request, seat, str(error), item)
    return _go_on(request, seat)


@require_POST
@said_to_scripts
def undo(request: SignedInRequest, slug: str) -> HttpResponse:
    """Take back the person's last answer and show its item again, with what had been entered."""
    seat = seat_get_for(request.user, slug)
    try:
        item = last_undo(seat)
    except LabellingError as error:
        return _refused(request, seat, str(error))
    if item is None:
        return _refused(request, seat, NOTHING_TO_UNDO)
    return _go_on(request, seat, item=item)


@require_POST
@said_to_scripts
def beat(request: SignedInRequest, slug: str) -> HttpResponse:
    """The page's heartbeat: the items on it stay the person's. `item` comes once for each, the one shown first."""
    seat = seat_get_for(request.user, slug)
    wanted = request.POST.getlist("item")[:2]
    if seat.project.state != Project.State.OPEN or not wanted:
        return HttpResponse(status=204)
    checks_plan(seat)
    checks = checks_among(seat, wanted)
    shown, held = wanted[0], checks | leases_prolong(seat, [it for it in wanted if it not in checks])
    own = Judgement.every.filter(judge=seat.judge_id, source=seat.project.source, current=True)
    if shown in held or own.filter(direction__items__opaque_id=shown).exists():
        return HttpResponse(status=204)
    return render(request, "partials/error.html", {"error": GIVEN_AWAY}, status=409)


@never_cache
@require_GET
def others(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    """What others and machines said of an item that the person has judged, if the project shows it."""
    item, seat = item_seat_get_for(request.user, slug, opaque_id)
    source = item.source if isinstance(item, CheckCard) else seat.project.source
    own = Judgement.every.filter(judge=seat.judge_id, source=source, direction=item.direction_id, current=True)
    if not own.exists():
        raise PermissionDenied("Others' judgements of this one are shown once yours is in.")
    if not seat.project.reveal:
        raise PermissionDenied(f"{seat.project.name} does not show others' judgements.")
    context = others_context(request, seat, item)
    return render(request, "labelling/others_part.html" if request.htmx else "labelling/others.html", context)


def _page(
    request: SignedInRequest,
    seat: Seat,
    *,
    item: Item | CheckCard | None = None,
    entry: Entry | None = None,
    releasing: Item | CheckCard | None = None,
    last: Judgement | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    """The whole page, or, for its script, what changes in it."""
    context = {
        "project": seat.project,
        "guidelines_version": seat.guidelines_version,
        "state": queue_state(seat, item=item, entry=entry, releasing=releasing),
        "is_open": seat.project.state == Project.State.OPEN,
        "reviews": seat.role in REVIEWING_ROLES,
        **subject_context(seat.project),
        "kinds": Kind.choices,
        "reasons": Reason.choices,
        "skip_reasons": [(value, name, SKIP_KEYS[value]) for value, name in Skip.Reason.choices],
        "label_length": LABEL_LENGTH,
        "last": last,
        "last_item": releasing,
        "error": error,
    }
    if request.htmx:
        return render(request, "labelling/queue_parts.html", context, status=status)
    context |= {"labels": labels_used(seat), "beat_seconds": BEAT_SECONDS}
    if answered := last_answer(seat):  # after a reload, what others said of it can still be asked for
        context["last"], context["last_item"] = answered
    return render(request, "labelling/queue.html", context, status=status)


def _refused(
    request: SignedInRequest,
    seat: Seat,
    sentence: str,
    item: Item | CheckCard | None = None,
    entry: Entry | None = None,
) -> HttpResponse:
    """Nothing was changed. A script gets the sentence and keeps its page, a plain form gets the page back."""
    if request.htmx:
        return render(request, "partials/error.html", {"error": sentence}, status=422)
    return _page(request, seat, item=item, entry=entry, error=sentence, status=422)


def _go_on(
    request: SignedInRequest,
    seat: Seat,
    *,
    item: Item | CheckCard | None = None,
    releasing: Item | CheckCard | None = None,
    last: Judgement | None = None,
) -> HttpResponse:
    if request.htmx:
        return _page(request, seat, item=item, releasing=releasing, last=last)
    if isinstance(releasing, Item):
        lease_end(releasing, request.user)
    address = reverse("labelling:queue", args=[seat.project.slug])
    return redirect(f"{address}?{urlencode({'item': item.opaque_id})}" if item else address)
