"""Who may be asked, and at what price. Keys stay in the environment: nothing here stores or shows one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from django.conf import settings

from labelapp.accounts.models import User
from labelapp.autolabel.models import ModelPrice, Run
from workers.llm.errors import ProviderError
from workers.llm.prices import Price, price_of, prices_listed
from workers.llm.providers import ProviderConfig, llm_parse, providers

REPLAY: Literal["replay"] = "replay"


def provider_configs() -> dict[str, ProviderConfig]:
    """The providers that this process's environment names. Raises ProviderError."""
    return providers(settings.LLM_ENVIRONMENT)


def llm_get(text: str) -> tuple[ProviderConfig, str]:
    """`PROVIDER:MODEL`, or `replay:FILE` for recorded answers. Raises ProviderError."""
    provider, _, model = text.partition(":")
    if provider == REPLAY:
        return replay_config(model), model
    config, model = llm_parse(text, provider_configs())
    if config.is_openai and not config.key:
        raise ProviderError("OpenAI needs a key; set OPENAI_API_KEY in the environment of the web and the workers.")
    return config, model


def config_of(provider: str, llm: str) -> ProviderConfig:
    """The provider of a stored run. Raises ProviderError where this process's environment does not name it."""
    return llm_get(f"{provider}:{llm}")[0]


def replay_config(path: str) -> ProviderConfig:
    """Recorded answers as a provider. Raises ProviderError where the file is not there."""
    if not path or not Path(path).is_file():
        raise ProviderError(f"There is no file {path!r} with recorded answers; write replay:FILE.")
    return ProviderConfig(name=REPLAY, kind=REPLAY, path=path, in_flight=64)


def llm_identity(config: ProviderConfig, llm: str) -> str:
    """The model's name as it stands in requests and judges; of recorded answers it holds what the file says."""
    if config.name != REPLAY:
        return llm
    return f"{Path(llm).name}@{hashlib.sha256(Path(llm).read_bytes()).hexdigest()[:12]}"


def price_get(config: ProviderConfig, llm: str) -> Price | None:
    """What somebody gave last for this model, else the price list's; None where neither knows it."""
    if config.kind == REPLAY:
        return Price(0, 0, source="recorded answers cost nothing")
    given = ModelPrice.objects.filter(provider=config.name, llm=llm).order_by("-pk").first()
    known = {(config.name, llm): Price(given.input, given.output, source="given by a user")} if given else None
    return price_of(config.name, llm, known)


def llms_known(config: ProviderConfig) -> list[str]:
    """Names of a provider's language models that the price list, a given price or a run knows."""
    names = {llm for provider, llm in prices_listed() if provider == config.name}
    names.update(ModelPrice.objects.filter(provider=config.name).values_list("llm", flat=True).distinct())
    names.update(Run.objects.filter(provider=config.name).values_list("llm", flat=True).distinct())
    return sorted(names)


def price_give(config: ProviderConfig, llm: str, price: Price, *, given_by: User | None = None) -> ModelPrice:
    """Note what a model costs, for this run and for later ones."""
    return ModelPrice.objects.create(
        provider=config.name, llm=llm, input=price.input, output=price.output, given_by=given_by
    )
