"""A model's page: its overview in one variant, and the form that asks for more."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas import panels
from labelapp.atlas.forms import DecomposeForm, may_decompose
from labelapp.atlas.keys import KeyFormError, Variant, variant_parse
from labelapp.atlas.models import Matrix, Model
from labelapp.atlas.overview import colours_of, overview_grid
from labelapp.atlas.selection import variants_stored
from labelapp.atlas.selectors import NotStoredError, model_get
from labelapp.atlas.services import decompose_more
from labelapp.atlas.variants import variant_notes, variant_title
from labelapp.atlas.views import not_found
from labelapp.jobs.services import JobError


@require_GET
def model(request: SignedInRequest, slug: str) -> HttpResponse:
    try:
        found = model_get(slug)
    except NotStoredError as error:
        return not_found(request, error)
    if found.slug != slug:
        return redirect("atlas:model", found.slug)
    return render(request, "atlas/model.html", _model_context(request, found))


@require_POST
def decompose(request: SignedInRequest, slug: str) -> HttpResponse:
    """Decompose more of a model, for who may add matrices."""
    if not may_decompose(request.user):
        raise PermissionDenied("You may not decompose a model; somebody who runs this server can give you the right.")
    try:
        found = model_get(slug)
    except NotStoredError as error:
        return not_found(request, error)
    form = DecomposeForm(request.POST, model=found)
    if not form.is_valid():
        return render(request, "atlas/model.html", _model_context(request, found, form), status=422)
    try:
        job = decompose_more(model=found, created_by=request.user, **form.order())
    except JobError as error:
        form.add_error(None, str(error))
        return render(request, "atlas/model.html", _model_context(request, found, form), status=422)
    return redirect("jobs:detail", job.pk)


def _model_context(request: SignedInRequest, found: Model, form: DecomposeForm | None = None) -> dict[str, Any]:
    """The overview of one variant, of those that are stored or are asked for."""
    colours = colours_of(request, found)
    chosen = next((it for it in colours if it.slug == request.GET.get("colour")), colours[0])
    stored = variants_stored(Matrix.objects.filter(model=found))
    # Of imported readouts the plain variant need not be there.
    first = Variant() if found.has_weights else next(iter(stored), Variant())
    variant = _variant(request.GET, first)
    shown = list(dict.fromkeys([first, *stored, variant]))
    if form is None and found.has_weights and may_decompose(request.user):
        form = DecomposeForm(model=found)
    return {
        "model": found,
        "colours": [(it, _overview_query(variant, it.slug)) for it in colours],
        "chosen": chosen,
        "variant": variant,
        "variants": [(it, variant_title(it), stored.get(it, 0), _overview_query(it, chosen.slug)) for it in shown],
        "notes": variant_notes(variant),
        "grid": overview_grid(found, chosen, variant),
        "form": form,
        "panels": panels.model_panels(request, found),
    }


def _overview_query(variant: Variant, colour: str) -> str:
    return "?" + urlencode({"colour": colour, **({"variant": str(variant)} if str(variant) else {})})


def _variant(query: QueryDict, first: Variant) -> Variant:
    """From an address that anybody may have typed: what makes no sense is the first variant."""
    text = query.get("variant", "")
    try:
        return variant_parse(text) if text else first
    except KeyFormError:
        return first
