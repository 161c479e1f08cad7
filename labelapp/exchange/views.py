"""Exports: asked for here, written by a job, downloaded by who asked for them."""

from __future__ import annotations

from pathlib import PurePosixPath

from django.contrib import messages
from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.models import User
from labelapp.accounts.typing import SignedInRequest
from labelapp.exchange.models import Export
from labelapp.exchange.services import export_start
from labelapp.exchange.subjects import ExportError, subject_get
from labelapp.jobs.models import State

EXPORTS_SHOWN = 50


@require_GET
def exports(request: SignedInRequest) -> HttpResponse:
    return render(request, "exchange/exports.html", {"exports": _exports_of(request.user)[:EXPORTS_SHOWN]})


@require_POST
def start(request: SignedInRequest) -> HttpResponse:
    try:
        export_start(
            subject=request.POST.get("subject", ""),
            format=request.POST.get("format", "jsonl"),
            user=request.user,
        )
    except ExportError as error:
        return render(request, "exchange/refused.html", {"error": str(error)}, status=422)
    messages.success(request, "The export is being written; it stands here to be downloaded when it is done.")
    return redirect("exchange:exports")


@require_GET
def download(request: SignedInRequest, export_id: int) -> HttpResponseBase:
    export = _exports_of(request.user).filter(pk=export_id).first()
    if export is None:
        raise Http404("There is no such export of yours.")
    if export.job.state != State.DONE or not export.file:
        messages.warning(request, "That export is not written yet.")
        return redirect("exchange:exports")
    try:  # whoever was taken off a project keeps no way to what its people said
        subject_get(export.subject, None if request.user.is_superuser else request.user)
    except ExportError as error:
        return render(request, "exchange/refused.html", {"error": str(error)}, status=403)
    if not default_storage.exists(export.file):
        return render(
            request,
            "exchange/refused.html",
            {"error": "The file of this export is gone; export it again."},
            status=410,
        )
    name = PurePosixPath(export.file).name
    return FileResponse(default_storage.open(export.file), as_attachment=True, filename=name)


def _exports_of(user: User) -> QuerySet[Export]:
    """The person's own; a superuser's are all."""
    found = Export.objects.select_related("job", "created_by").order_by("-pk")
    return found if user.is_superuser else found.filter(created_by=user)
