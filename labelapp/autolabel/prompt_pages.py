"""What pages show of prompt versions: who uses them, what they render to."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F

from labelapp.autolabel.models import Call, PromptVersion, Run
from labelapp.autolabel.prompts import prompt_of, ready_made
from workers.llm.prices import Tokens, tokens_estimate
from workers.llm.prompts import Prompt
from workers.llm.rendering import Rendered, render

# A readout to show a prompt with: whole words, fragments, spaces before them, a line break.
EXAMPLE_TOKENS = (" dog", " dogs", " puppy", "Dog", " kitten", " cats", " canine", " veterin", " pets", "pup", " leash",
                  " paws", "\n", " breed", " kennel", " barking", " tail", " fur", " collar", " whiskers")  # fmt: skip
EXAMPLE_LABELS = {"verifier": "most of these words relate to animals.", "detector": "animals", "matcher": "animals"}
# What a new version begins with, by kind and endpoint.
TEMPLATES = {
    (kind, endpoint): f"{name}{'-chat' if endpoint == 'chat' else ''}"
    for kind, name in (
        ("labeler", "labeler-few-shot-negative"),
        ("verifier", "verifier-few-shot"),
        ("detector", "detector-few-shot"),
        ("intruder", "intruder-few-shot"),
        ("matcher", "matcher-few-shot"),
    )
    for endpoint in ("chat", "completion")
}


@dataclass(frozen=True)
class ListedPrompt:
    version: PromptVersion
    calls: int
    judges: int

    @property
    def style(self) -> str:
        return str(self.version.body.get("style", ""))

    @property
    def endpoint(self) -> str:
        return str(self.version.body.get("endpoint", ""))


@dataclass(frozen=True)
class Shown:
    """A prompt as a language model is sent it, for an example readout."""

    prompt: Prompt
    rendered: Rendered
    tokens: Tokens

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Role and text of each message; of a completion the one text."""
        said: list[tuple[str, str]] = [(message.role, message.content) for message in self.rendered.messages]
        return said or [("text", self.rendered.text)]


def prompts_listed() -> dict[str, list[ListedPrompt]]:
    """The versions of each kind by name, the newest of each first, with who has used them: five queries."""
    versions = list(PromptVersion.objects.select_related("created_by").order_by("name", "-version"))
    calls, judges = usage(versions)
    listed = [ListedPrompt(it, calls.get(it.pk, 0), judges.get(it.pk, 0)) for it in versions]
    return {kind: [it for it in listed if it.version.kind == kind] for kind in PromptVersion.Kind.values}


def usage(versions: list[PromptVersion]) -> tuple[dict[int, int], dict[int, int]]:
    """By id of a version: the answered calls that asked it, and the judges that run it."""
    ids = [it.pk for it in versions]
    rows = Call.objects.filter(prompt_version__in=ids).order_by()
    calls = dict(rows.values_list("prompt_version").annotate(n=Count("pk")))
    judges: dict[int, set[int]] = {}
    for role in ("labeler", "verifier", "detector"):
        pairs = Run.objects.filter(**{f"{role}__in": ids}).order_by().values_list(F(role), "judge").distinct()
        for version, judge in pairs:
            judges.setdefault(version, set()).add(judge)
    return calls, {version: len(found) for version, found in judges.items()}


def prompt_shown(prompt: Prompt) -> Shown:
    """The prompt filled in for the example readout."""
    rendered = render(prompt, tokens=EXAMPLE_TOKENS, label=EXAMPLE_LABELS.get(prompt.kind, ""))
    schema = prompt.kind if prompt.answer_format == "structured" else ""
    return Shown(prompt, rendered, tokens_estimate(rendered, prompt.max_tokens, prompt.sampling.n, schema))


def version_shown(version: PromptVersion) -> Shown:
    return prompt_shown(prompt_of(version))


def template(kind: str, endpoint: str) -> Prompt | None:
    """What a new version of a kind begins with; None for a kind or endpoint that there is not."""
    name = TEMPLATES.get((kind, endpoint))
    return next((prompt for prompt in ready_made() if prompt.name == name), None)
