"""Ground-truth sets: frozen under a version with a content hash, split once and for all, compared with one another."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from labelapp.accounts.models import User
from labelapp.atlas.keys import DirectionKey
from labelapp.judgements.models import Judgement, Verdict
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.models import Adjudication, Entry, GroundTruth
from labelapp.review.truth_rules import Chosen, GroundTruthError, Standing, TruthRule, standing_of

DEFAULT_HELD_OUT = 0.5
MOST_SEED = 2**31 - 1  # what the databases' integers hold
NAME_LENGTH = 60
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_ROWS = 1000
_UNIT = 2**64


@dataclass(frozen=True)
class Frozen:
    """A version, and whether it is new: what has not changed since the last one is not frozen again."""

    truth: GroundTruth
    is_new: bool


def truth_freeze(
    *,
    project: Project,
    name: str,
    rule: TruthRule,
    user: User | None = None,
    seed: int | None = None,
    held_out: float | None = None,
) -> Frozen:
    """Freeze what the rule chooses now as the next version of a name; `user` None stands for the command line.

    Seed and held-out share are those of the name's first version: an entry that prompts were tuned on must not come to
    score them. By default seed 0 and half. Raises GroundTruthError, and stores nothing.
    """
    _require(project, user, name, seed, held_out)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # of two at once the second sees the first's version
        last = GroundTruth.objects.filter(project=project, name=name).order_by("-version").first()
        seed, share = _split(last, seed, held_out)
        entries, left_out = _entries(project, rule, seed, share)
        if not entries:
            raise GroundTruthError(f"No item of {project} fulfils the rule ({rule.says}); decide or judge some first.")
        content = content_hash(rule.as_json(), ((it.key, it.verdict, it.label) for it in entries))
        if last is not None and last.content_hash == content:
            return Frozen(last, False)
        truth = GroundTruth.objects.create(
            project=project,
            name=name,
            version=last.version + 1 if last else 1,
            rule=rule.as_json(),
            content_hash=content,
            seed=seed,
            held_out_share=share,
            n=len(entries),
            n_held_out=sum(it.part == Entry.Part.HELD_OUT for it in entries),
            left_out=left_out,
            created_by=user,
        )
        for entry in entries:
            entry.truth = truth
        Entry.objects.bulk_create(entries, batch_size=_ROWS)
    return Frozen(truth, True)


def content_hash(rule: Mapping[str, Any], entries: Iterable[tuple[str, str, str]]) -> str:
    """sha256, in hexadecimal, over the canonical JSON of a rule and of entries (key, verdict, label).

    Canonical: `{"entries": [[key, verdict, label], …], "rule": {…}}` in ASCII, the entries sorted by key, the names
    sorted, and no spaces.
    """
    content = {"entries": sorted(list(entry) for entry in entries), "rule": dict(rule)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def part_of(key: DirectionKey, seed: int, held_out: float) -> str:
    """The part of a direction: by a hash of the seed and its vector, so that it is the same in every version.

    Both ends of a vector are in the same part: they are no two independent items.
    """
    vector = str(replace(key, sign="+"))
    number = int.from_bytes(hashlib.sha256(f"{seed}:{vector}".encode()).digest()[:8], "big")
    return Entry.Part.HELD_OUT if number / _UNIT < held_out else Entry.Part.DEVELOPMENT


def truth_get(project: Project, name: str, version: int | None = None) -> GroundTruth:
    """A version of a set, the latest by default. Raises GroundTruthError."""
    versions = GroundTruth.objects.filter(project=project, name=name)
    found = versions.filter(version=version) if version is not None else versions
    truth = found.select_related("project", "created_by").order_by("-version").first()
    if truth is None:
        wanted = name if version is None else f"{name}@{version}"
        known = ", ".join(map(str, GroundTruth.objects.filter(project=project).order_by("name", "version")[:10]))
        raise GroundTruthError(f"{project} has no ground-truth set {wanted} (it has: {known or 'none yet'}).")
    return truth


def truths_of(project: Project) -> QuerySet[GroundTruth]:
    """Newest first."""
    return GroundTruth.objects.filter(project=project).select_related("created_by").order_by("-pk")


DIFFERENCES = {
    "added": "only in the newer",
    "removed": "only in the older",
    "verdict": "another verdict",
    "label": "another label",
}


def truth_difference(older: GroundTruth, newer: GroundTruth, kind: str) -> QuerySet[Entry]:
    """The entries that differ in one way of DIFFERENCES, in the order of their ids.

    Those of the newer version, with `verdict_before` and `label_before`; of `removed` those of the older.
    """
    if kind == "removed":
        return older.entries.exclude(direction__in=newer.entries.values("direction")).order_by("pk")
    if kind == "added":
        return newer.entries.exclude(direction__in=older.entries.values("direction")).order_by("pk")
    before = older.entries.filter(direction=OuterRef("direction"))
    both = newer.entries.annotate(
        verdict_before=Subquery(before.values("verdict")[:1]), label_before=Subquery(before.values("label")[:1])
    ).filter(verdict_before__isnull=False)
    if kind == "verdict":
        return both.exclude(verdict=F("verdict_before")).order_by("pk")
    return both.filter(~Q(label=F("label_before")), verdict=F("verdict_before")).order_by("pk")


def _entries(project: Project, rule: TruthRule, seed: int, share: float) -> tuple[list[Entry], dict[str, int]]:
    """What the rule chooses of a project's items, in the order of the queue, and what it leaves out, by reason."""
    standing = standing_of(project, rule)
    entries, left_out = [], Counter[str]()
    for item in _touched(project):
        chosen = rule.choose(standing, item.direction_id)
        if chosen is None:
            left_out[_reason(standing, item.direction_id)] += 1
        else:
            entries.append(_entry(item, chosen, seed, share))
    untouched = Item.objects.filter(project=project).count() - len(entries) - left_out.total()
    if untouched:
        left_out["not judged"] = untouched
    return entries, dict(left_out)


def _touched(project: Project) -> Iterator[Item]:
    """The items that somebody judged or decided."""
    judged = Judgement.objects.filter(direction=OuterRef("direction"), source=project.source, current=True)
    decided = Adjudication.objects.filter(item=OuterRef("pk"), current=True)
    rows = Item.objects.filter(Exists(judged) | Exists(decided), project=project).order_by("position")
    heavy = ("tokens", "scores", "token_ids", "matrix__singular_values", "matrix__vectors", "matrix__neurons")
    rows = rows.select_related("direction__matrix__model").defer(*(f"direction__{name}" for name in heavy))
    return rows.iterator(chunk_size=_ROWS)


def _reason(standing: Standing, direction: int) -> str:
    decision = standing.adjudications.get(direction)
    if decision is not None and decision.verdict == Verdict.UNSURE:
        return "decided as unsure"
    return "judged, and not chosen by the rule"


def _entry(item: Item, chosen: Chosen, seed: int, share: float) -> Entry:
    key = item.direction.key
    return Entry(
        direction=item.direction,
        key=str(key),
        verdict=chosen.verdict,
        label=chosen.label,
        part=part_of(key, seed, share),
        origin=chosen.origin,
        n_people=chosen.n_people,
        adjudication_id=chosen.adjudication_id,
        inclusion_probability=item.inclusion_probability,
    )


def _split(last: GroundTruth | None, seed: int | None, held_out: float | None) -> tuple[int, float]:
    if last is None:
        return seed or 0, DEFAULT_HELD_OUT if held_out is None else held_out
    if seed not in (None, last.seed) or held_out not in (None, last.held_out_share):
        raise GroundTruthError(
            f"{last.name} was split with seed {last.seed} and a held-out share of {last.held_out_share:g}, and every "
            "version of it is, so that nothing that prompts were tuned on comes to score them; leave both out."
        )
    return last.seed, last.held_out_share


def _require(project: Project, user: User | None, name: str, seed: int | None, held_out: float | None) -> None:
    if (
        user is not None
        and not Membership.objects.filter(project=project, user=user, role__in=REVIEWING_ROLES).exists()
    ):
        raise GroundTruthError(f"You do not review {project}; its owner and its reviewers freeze sets.")
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        raise GroundTruthError(
            f"A set's name has small letters, digits and hyphens, at most {NAME_LENGTH}, as in first-hundred."
        )
    if held_out is not None and not 0 <= held_out <= 1:  # not a number either
        raise GroundTruthError(f"The held-out share must be between 0 and 1, not {held_out:g}.")
    if seed is not None and not 0 <= seed <= MOST_SEED:
        raise GroundTruthError(f"A seed must be between 0 and {MOST_SEED:,}.")
