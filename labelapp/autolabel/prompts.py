"""Prompt versions: stored from YAML files or from a page's mapping, and found again by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from labelapp.accounts.models import User
from labelapp.autolabel.models import PromptVersion
from workers.llm.errors import PromptError
from workers.llm.prompts import Prompt, prompt_from_mapping, prompt_read, prompt_to_mapping, prompts_read


def fixtures_folder() -> Path:
    """Where the ready-made prompts lie, one YAML file each."""
    return Path(settings.BASE_DIR) / "fixtures" / "prompts"


def prompt_store(prompt: Prompt, *, created_by: User | None = None) -> PromptVersion:
    """The version that asks the same as `prompt`: the one that is stored, or a new one under its name."""
    while True:
        if stored := PromptVersion.objects.filter(digest=prompt.digest).first():
            return stored
        last = PromptVersion.objects.filter(name=prompt.name).aggregate(last=Max("version"))["last"]
        try:
            with transaction.atomic():
                return PromptVersion.objects.create(
                    name=prompt.name,
                    version=(last or 0) + 1,
                    kind=prompt.kind,
                    digest=prompt.digest,
                    body=prompt_to_mapping(prompt),
                    created_by=created_by,
                )
        except IntegrityError:
            continue  # somebody else stored one at the same moment


def prompt_store_mapping(mapping: Mapping[str, Any], *, created_by: User | None = None) -> PromptVersion:
    """The same from what a page or a file holds. Raises PromptError, a sentence that names the field."""
    return prompt_store(prompt_from_mapping(mapping), created_by=created_by)


def prompts_load(path: Path | None = None) -> list[PromptVersion]:
    """Store what a YAML file or a folder of them holds (default: the ready-made prompts); all or none.

    Doing it again changes nothing. Raises PromptError.
    """
    prompts = ready_made() if path is None else prompts_read(path) if path.is_dir() else [prompt_read(path)]
    stored = PromptVersion.objects.in_bulk([prompt.digest for prompt in prompts], field_name="digest")
    with transaction.atomic():
        return [stored.get(prompt.digest) or prompt_store(prompt) for prompt in prompts]


def prompt_get(name: str, kind: str) -> PromptVersion:
    """A version by name, `NAME@2` or the latest of `NAME`. Raises PromptError, with the names that there are."""
    bare, _, number = name.partition("@")
    versions = PromptVersion.objects.filter(name=bare, kind=kind)
    if number:
        versions = versions.filter(version=int(number)) if number.isascii() and number.isdigit() else versions.none()
    if found := versions.order_by("-version").first():
        return found
    names = PromptVersion.objects.filter(kind=kind).order_by("name").values_list("name", flat=True).distinct()
    known = ", ".join(names) or "none yet; `manage.py prompts --load FILE` stores one"
    raise PromptError(f"There is no {kind} prompt {name!r}; there is: {known}.")


def prompt_of(version: PromptVersion) -> Prompt:
    """A stored version as the engine takes it."""
    return _prompt(version.pk, version.digest, version.name)


# By what never changes; the body is read again only for what is not here.
@lru_cache(maxsize=64)
def _prompt(pk: int, digest: str, name: str) -> Prompt:
    return prompt_from_mapping(PromptVersion.objects.get(pk=pk).body)


@lru_cache(maxsize=1)
def ready_made() -> list[Prompt]:
    """The prompts that come with the platform, by name."""
    return prompts_read(fixtures_folder()) if fixtures_folder().is_dir() else []
