"""Prompt versions: read by everybody, and written by everybody who may start a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.autolabel.models import PromptVersion
from labelapp.autolabel.prompt_forms import YAML, PromptForm, typed_of
from labelapp.autolabel.prompt_pages import (
    TEMPLATES,
    prompt_shown,
    prompts_listed,
    template,
    usage,
    version_shown,
)
from labelapp.autolabel.prompts import prompt_of, prompt_store
from workers.llm.errors import PromptError
from workers.llm.prompts import Prompt, prompt_to_yaml


@require_GET
def prompts(request: SignedInRequest) -> HttpResponse:
    return render(request, "autolabel/prompts.html", {"kinds": prompts_listed().items()})


@require_GET
def prompt(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """A version as it asks; with `?as=yaml` the file that `manage.py prompts --load` takes."""
    found = get_object_or_404(PromptVersion.objects.select_related("created_by"), name=name, version=version)
    text = prompt_to_yaml(prompt_of(found))
    if request.GET.get("as") == YAML:
        headers = {"Content-Disposition": f'attachment; filename="{found.name}.yaml"'}
        return HttpResponse(text, content_type="application/yaml; charset=utf-8", headers=headers)
    calls, judges = usage([found])
    context = {
        "version": found,
        "shown": version_shown(found),
        "yaml": text,
        "calls": calls.get(found.pk, 0),
        "judges": judges.get(found.pk, 0),
        "others": PromptVersion.objects.filter(name=found.name).exclude(pk=found.pk).order_by("-version"),
    }
    return render(request, "autolabel/prompt.html", context)


@require_http_methods(["GET", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """The form, from another version or a template, and the version that comes of it."""
    given = request.POST if request.method == "POST" else request.GET
    as_yaml = given.get("as") == YAML
    if request.method != "POST":
        begun = _begun(request.GET)
        typed = typed_of(begun, as_yaml=as_yaml)
        return _form_page(request, PromptForm(initial=typed, as_yaml=as_yaml), _preview_context(begun))
    form = PromptForm(request.POST, as_yaml=as_yaml)
    try:
        typed_prompt = form.prompt()
    except PromptError as error:
        return _form_page(request, form, {"error": str(error)}, status=422)
    is_old = PromptVersion.objects.filter(digest=typed_prompt.digest).exists()
    stored = prompt_store(typed_prompt, created_by=request.user)
    if not is_old:
        messages.success(request, f"{stored} is stored, and never changes; another version can follow it.")
    else:
        messages.warning(request, f"{stored} asks the very same and is stored already; nothing was added.")
    return redirect("autolabel:prompt", stored.name, stored.version)


@require_POST
def preview(request: SignedInRequest) -> HttpResponse:
    """What is typed as it would be sent, or the sentence that says what is wrong with it."""
    form = PromptForm(request.POST, as_yaml=request.POST.get("as") == YAML)
    try:
        context = _preview_context(form.prompt())
    except PromptError as error:
        context = {"error": str(error)}
    return render(request, "autolabel/prompt_preview.html", context)


def _begun(query: QueryDict) -> Prompt:
    """What the form begins with: `?from=NAME@2`, or the template of `?kind=` and `?endpoint=`, without a name."""
    if "from" in query:
        name, _, number = query.get("from", "").partition("@")
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Http404("There is no such prompt version.")
        return prompt_of(get_object_or_404(PromptVersion, name=name, version=int(number)))
    begun = template(query.get("kind", "labeler"), query.get("endpoint", "chat"))
    if begun is None:
        raise Http404("There is no such kind of prompt.")
    return replace(begun, name="my-" + begun.kind)


def _preview_context(given: Prompt) -> dict[str, Any]:
    return {"shown": prompt_shown(given)}


def _form_page(request: SignedInRequest, form: PromptForm, context: dict[str, Any], status: int = 200) -> HttpResponse:
    more = {"form": form, "templates": list(TEMPLATES), "from": request.GET.get("from", "")}
    return render(request, "autolabel/prompt_new.html", {**more, **context}, status=status)
