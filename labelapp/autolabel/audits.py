"""Audits over what came from one run or import: counts, and the items behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.db.models import Count, Max

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.models import Direction
from labelapp.autolabel.answers import answers_standing
from labelapp.autolabel.models import PromptVersion, Run
from labelapp.exchange.models import Import
from labelapp.exchange.released import EXEMPLARS
from labelapp.judgements.models import Judge, Judgement, Verification
from labelapp.statistics.audits import AUDITS, Audit

PAGE_ROWS = 50
TOKENS_SHOWN = 8
MOST_DIGITS = 18  # of an id: what the database's integers hold


class AuditError(LookupError):
    """A source or audit that there is not; the message says which there are."""


@dataclass(frozen=True)
class Source:
    """A run or an import of labels: where the audited judgements came from."""

    kind: str
    pk: int
    judge: Judge
    title: str
    made_at: datetime

    @property
    def address(self) -> str:
        """What the judgements carry: "run:3"."""
        return f"{self.kind}:{self.pk}"

    @property
    def slug(self) -> str:
        """The same in a page's address: "run-3"."""
        return f"{self.kind}-{self.pk}"


@dataclass(frozen=True)
class Counted:
    """One audit with how much it found."""

    audit: Audit
    count: int


@dataclass(frozen=True)
class AuditItem:
    """One direction that an audit found."""

    judgement: Judgement
    direction: Direction
    tokens: Sequence[str]
    verification: str
    note: str


@dataclass(frozen=True)
class Findings:
    """What all audits found, as judgement ids in order with a note each; without what is hidden from the viewer."""

    n: int
    n_hidden: int
    found: Mapping[str, Mapping[int, str]]

    @property
    def counts(self) -> list[Counted]:
        return [Counted(audit, len(self.found[name])) for name, audit in AUDITS.items()]


def source_get(address: str) -> Source:
    """Of "run:3" or "run-3". Raises AuditError."""
    kind, _, number = address.replace("-", ":", 1).partition(":")
    pk = int(number) if number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS else 0
    if kind == "run":
        run = Run.objects.filter(pk=pk).select_related("judge", "model").first()
        if run is not None:
            return Source(
                kind, pk, run.judge, f"Run {pk}: {run.judge}{f' on {run.model}' if run.model else ''}", run.created_at
            )
    if kind == "import":
        made = Import.objects.filter(pk=pk).select_related("judge").first()
        if made is not None and made.judge is not None:
            return Source(kind, pk, made.judge, str(made), made.created_at)
    raise AuditError(f"There is no run or import of labels {address!r}; one is named like run:3 or import:1.")


def audit_get(name: str) -> Audit:
    """Raises AuditError."""
    if name not in AUDITS:
        raise AuditError(f"There is no audit {name!r}; there are {', '.join(AUDITS)}.")
    return AUDITS[name]


def findings(source: Source, viewer: User | None = None) -> Findings:
    """All audits over what stands of a source, without the directions that the viewer is still to judge blind."""
    standing = Judgement.objects.filter(source=source.address, current=True)
    hidden: frozenset[int] = frozenset()
    if viewer is not None:
        blind = panels.hidden_directions(viewer).filter(pk__in=standing.values("direction_id"))
        hidden = frozenset(blind.values_list("pk", flat=True))
    checked = Verification.objects.filter(judgement__in=standing).count()
    state = standing.aggregate(n=Count("pk"), last=Max("pk"))
    return _findings(source, (state["n"], state["last"], checked), hidden)


@lru_cache(maxsize=16)
def _findings(source: Source, state: tuple[int, int | None, int], hidden: frozenset[int]) -> Findings:
    """Kept in memory; the state changes with every judgement, withdrawal and verification, so none of it is stale."""
    standing = Judgement.objects.filter(source=source.address)
    answers = [it for it in answers_standing(standing) if it.direction_id not in hidden]
    records = [it.record for it in answers]
    exemplars = exemplars_of(source.judge)
    found = {
        name: {answers[place].judgement_id: note for place, note in audit.find(records, exemplars).items()}
        for name, audit in AUDITS.items()
    }
    return Findings(len(records), len(hidden), found)


def exemplars_of(judge: Judge) -> Sequence[Sequence[str]]:
    """The token lists in a judge's prompts: of its prompt versions, or of the post's."""
    if judge.parameters.get("prompts") == "post":
        return EXEMPLARS
    digests = [judge.parameters.get(role) for role in ("labeler", "verifier")]
    bodies = PromptVersion.objects.filter(digest__in=[it for it in digests if isinstance(it, str)])
    return [it["tokens"] for body in bodies.values_list("body", flat=True) for it in body.get("exemplars", [])]


def audit_items(found: Mapping[int, str], *, start: int = 0, limit: int | None = PAGE_ROWS) -> list[AuditItem]:
    """Some of what an audit found, in its order: two queries and one for the keys."""
    ids = list(found)[start : None if limit is None else start + limit]
    rows = Judgement.objects.select_related("direction__matrix__model").prefetch_related("verifications").in_bulk(ids)
    return [_item(rows[pk], found[pk]) for pk in ids if pk in rows]


def _item(judgement: Judgement, note: str) -> AuditItem:
    answers = sorted(judgement.verifications.all(), key=lambda it: it.pk)
    direction = judgement.direction
    return AuditItem(
        judgement, direction, list(direction.tokens)[:TOKENS_SHOWN], answers[-1].answer if answers else "", note
    )
