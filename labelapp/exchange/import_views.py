"""Imports: what came from elsewhere, and the form that brings more."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.models import User
from labelapp.accounts.typing import SignedInRequest
from labelapp.exchange.imports import READOUTS_REVISION, ImportRefusedError, upload_start
from labelapp.exchange.models import Import
from labelapp.jobs.pages import progress_response
from labelapp.judgements.tables import rule_tables

IMPORTS_SHOWN = 50
LARGEST_UPLOAD = 512 * 2**20


@require_GET
def imports(request: SignedInRequest) -> HttpResponse:
    return _page(request)


@require_POST
def start(request: SignedInRequest) -> HttpResponse:
    if not may_import(request.user):
        raise PermissionDenied("Only an administrator may import readouts.")
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile) or not file.size:
        return _page(request, error="Choose a file that is not empty.")
    if file.size > LARGEST_UPLOAD:
        return _page(request, error="The file is larger than 512 MB; `./tea manage import_readouts` takes it.")
    try:
        made = upload_start(file=file, revision=request.POST.get("revision", ""), user=request.user)
    except ImportRefusedError as error:
        return _page(request, error=str(error))
    return redirect("imports:detail", made.pk)


@require_GET
def detail(request: SignedInRequest, import_id: int) -> HttpResponse:
    found = _import_get(import_id)
    models = list(found.atlas_models.order_by("pk"))
    tables = []
    if found.judge is not None:
        tables = [
            (model, table)
            for model in models
            for table in rule_tables(Q(judge=found.judge, matrix__model=model), request.user)
        ]
    context = {
        "import": found,
        "models": models,
        "tables": tables,
        "poll": reverse("imports:progress", args=[found.pk]),
        "audits": reverse("autolabel:audits", args=[f"import-{found.pk}"]) if found.judge else "",
    }
    return render(request, "exchange/import.html", context)


@require_GET
def progress(request: SignedInRequest, import_id: int) -> HttpResponse:
    found = get_object_or_404(Import.objects.exclude(job=None).select_related("job"), pk=import_id)
    assert found.job is not None
    return progress_response(request, found.job, reverse("imports:progress", args=[found.pk]))


def may_import(user: User) -> bool:
    """Whoever administrates the platform: an import makes models that everybody sees."""
    return user.is_staff or user.is_superuser


def _page(request: SignedInRequest, *, error: str = "") -> HttpResponse:
    rows = Import.objects.select_related("judge", "job", "created_by").prefetch_related("atlas_models").order_by("-pk")
    context = {
        "imports": rows[:IMPORTS_SHOWN],
        "may_import": may_import(request.user),
        "revision": READOUTS_REVISION,
        "error": error,
    }
    return render(request, "exchange/imports.html", context, status=422 if error else 200)


def _import_get(import_id: int) -> Import:
    return get_object_or_404(Import.objects.select_related("judge", "job", "created_by"), pk=import_id)
