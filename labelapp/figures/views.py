"""Figures and the files of their plots."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET
from django_htmx.http import replace_url

from labelapp.accounts.models import User
from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.keys import KeyFormError, matrix_key_parse
from labelapp.atlas.selectors import NotStoredError, matrix_get, model_get
from labelapp.atlas.views import not_found
from labelapp.figures.files import file_name, plot_response
from labelapp.figures.kinds import KINDS
from labelapp.figures.panels import spectrum_context, spectrum_options
from labelapp.figures.selectors import Claim, claims, claims_by_rule, spectra
from labelapp.figures.specs import fraction_spec, spectrum_spec
from labelapp.judgements.models import Judge
from labelapp.judgements.rules import RULES

FRACTION_HEADER = (
    "model", "judge", "rule", "unit", "circuit", "layer", "interpretable", "n",
    "fraction", "wilson_95_low", "wilson_95_high", "unsure_unparsed_failed",
)  # fmt: skip


@require_GET
def machines(request: SignedInRequest) -> HttpResponse:
    """What each machine says of each model, on its own."""
    rule = request.GET.get("rule", "")
    context = {
        "groups": claims_by_rule(claims(viewer=request.user), rule if rule in RULES else ""),
        "baseline": Judge.Type.BASELINE.value,
        "kinds": KINDS.values(),
    }
    return render(request, "figures/machines.html", context)


@require_GET
def spectrum(request: SignedInRequest, key: str) -> HttpResponse:
    """The spectrum panel: a page of its own, or for htmx the panel alone."""
    try:
        matrix = matrix_get(matrix_key_parse(key))
    except (KeyFormError, NotStoredError) as error:
        return not_found(request, error)
    template = "figures/spectrum_panel.html" if request.htmx else "figures/spectrum.html"
    response = render(request, template, {"panel": spectrum_context(request.GET, matrix), "matrix": matrix})
    shown_in = urlsplit(request.htmx.current_url or "").path
    if request.htmx and unquote(shown_in) == request.path:
        replace_url(response, request.get_full_path())  # on its own page, what is drawn is in the address
    return response


@require_GET
def spectrum_file(request: SignedInRequest, form: str, key: str) -> HttpResponse:
    try:
        matrix = matrix_get(matrix_key_parse(key))
    except (KeyFormError, NotStoredError) as error:
        return not_found(request, error)
    scale, others = spectrum_options(request.GET)
    found, _ = spectra(matrix, others)
    slug = matrix.model.slug
    rows = ((f"{slug}/{it.name}", place, value) for it in found for place, value in enumerate(it.values))
    return plot_response(
        form,
        name=f"spectrum-{file_name(str(matrix.key))}",
        spec=spectrum_spec(found, scale=scale),
        header=("matrix", "index", "singular_value"),
        rows=rows,
    )


@require_GET
def fraction_file(request: SignedInRequest, form: str, slug: str, claim: str) -> HttpResponse:
    try:
        found = _claim_get(slug, claim, request.user)
    except NotStoredError as error:
        return not_found(request, error)
    common = (slug, str(found.judge), found.rule.identifier, "ends")
    rows: list[tuple[object, ...]] = [
        (*common, it.circuit, it.layer, it.interpretable, it.n, it.value, it.low, it.high, it.left_out)
        for it in found.fractions
    ]
    # What is hidden keeps its row, so that nobody takes the rest for the whole.
    nothing = ("",) * (len(FRACTION_HEADER) - len(common) - 2)
    rows += [(*common, circuit, layer, *nothing) for circuit, layer in found.hidden]
    return plot_response(
        form,
        name=f"fraction-{file_name(slug)}-{file_name(claim)}",
        spec=fraction_spec(found.fractions, noise_rate=found.noise_rate),
        header=FRACTION_HEADER,
        rows=rows,
    )


def _claim_get(slug: str, name: str, viewer: User) -> Claim:
    model = model_get(slug)
    found = next((it for it in claims(model, viewer=viewer) if it.slug == name), None)
    if found is None:
        raise NotStoredError(f"There is no figure {name!r} on {model}; the figures page lists those that there are.")
    return found
