"""How well people judge: on gold, on noise, against themselves and one another, and whether they still look.

Answers count as they stand and only where they were blind: after an answer others' are to be seen, so one that was
changed then is left out, and counted. `unsure` is left out of two-valued figures, with its n.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.labelling.checks.models import Check, Gold, check_source
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.subjects import of_directions_check
from labelapp.statistics.estimation import wilson_interval
from labelapp.statistics.straight import Straight, straight

if TYPE_CHECKING:
    from labelapp.statistics.agreement_card import AgreementCard

FEWEST = 10  # answers below which no rate and no agreement is told
SHARED_AT_MOST = 500  # of the items that others judged too, the latest so many are compared
RESAMPLES = 200
OWN_STEP = 20  # one's own figures take answers in by so many, or each would tell what it was
YES = Verdict.INTERPRETABLE
_Votes = dict[int, Counter[str]]  # by direction


@dataclass(frozen=True)
class Rate:
    """k of n with Wilson's interval; None, all three, where n is too small, and `why`."""

    k: int
    n: int
    unsure: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Quality:
    """One person in one project."""

    name: str
    user_id: int
    is_member: bool
    n: int  # standing judgements on items of the project
    n_checks: int  # standing answers to what was mixed in
    changed: int  # answers that were changed after others' could be seen, and count nowhere here
    gold: Rate  # right answers where the answer is known
    noise: Rate  # controls called interpretable, those among the items too
    oneself: AgreementCard | None
    others: AgreementCard | None
    seconds: float | None  # the median of an answer
    straight: Straight
    shares: Mapping[str, float]  # of each verdict

    @property
    def yes_share(self) -> float | None:
        return self.shares.get(YES)


@dataclass(frozen=True)
class _Answer:
    pk: int
    judge_id: int
    direction_id: int
    verdict: str
    blind: bool
    seconds: float | None
    is_check: bool


def quality(project: Project, *, user_id: int | None = None) -> list[Quality]:
    """Everybody who judged in the project, or one person as he or she may see it: the more answers, the earlier.

    Six queries, whatever their number. One's own figures lag behind by up to OWN_STEP answers. Raises LabellingError
    for a project of pairs or matrices.
    """
    of_directions_check(project)
    answers = _answers(project)
    if user_id is not None:
        own = {judge for judge, (user, _) in _people(answers).items() if user == user_id}
        answers = _in_steps(answers, own)
    else:
        own = set(answers)
    people = _people(answers)
    votes = _votes(answers)
    members = set(Membership.objects.filter(project=project).values_list("user_id", flat=True))
    known = _Known.of(project)
    found = [
        _quality(people[judge], people[judge][0] in members, answers[judge], votes, known)
        for judge in answers
        if judge in own
    ]
    return sorted(found, key=lambda it: (-it.n, it.name))


@dataclass(frozen=True)
class _Known:
    """What a project knows of the directions on which people answered."""

    gold: Mapping[int, str]  # direction to verdict
    kinds: Mapping[tuple[int, int], tuple[str, str | None]]  # user and direction of a check to kind and first verdict
    noise: Collection[int]
    vectors: Mapping[int, str]

    @classmethod
    def of(cls, project: Project) -> _Known:
        checks = Check.objects.filter(project=project, is_open=False)
        columns = ("user_id", "direction_id", "kind", "first__verdict", "first__current")
        kinds = {
            (user, direction): (kind, first if stands else None)
            for user, direction, kind, first, stands in checks.values_list(*columns)
        }
        places = _places(project)
        return cls(
            dict(Gold.objects.filter(project=project).values_list("direction_id", "verdict")),
            kinds,
            {pk for pk, (control, _) in places.items() if control},
            {pk: vector for pk, (_, vector) in places.items()},
        )


def _places(project: Project) -> dict[int, tuple[str, str]]:
    """Of each direction that was judged its control and its vector."""
    sources = (project.source, check_source(project.pk))
    rows = Judgement.objects.filter(source__in=sources, current=True).order_by()
    columns = ("direction_id", "direction__matrix__control", "direction__matrix_id", "direction__side",
               "direction__index")  # fmt: skip
    return {
        pk: (control, f"{matrix} {side} {index}")
        for pk, control, matrix, side, index in rows.values_list(*columns).distinct()
    }


def _answers(project: Project) -> dict[int, list[_Answer]]:
    """By judge, in the order of time."""
    check = check_source(project.pk)
    rows = Judgement.objects.filter(
        source__in=(project.source, check), current=True, judge__type=Judge.Type.PERSON
    ).order_by("pk")
    columns = ("pk", "judge_id", "direction_id", "verdict", "blind", "seconds", "source")
    found: dict[int, list[_Answer]] = defaultdict(list)
    for pk, judge, direction, verdict, blind, seconds, source in rows.values_list(*columns):
        found[judge].append(_Answer(pk, judge, direction, verdict, blind, seconds, source == check))
    return dict(found)


def _people(answers: Mapping[int, Sequence[_Answer]]) -> dict[int, tuple[int, str]]:
    rows = Judge.objects.filter(pk__in=list(answers), user__isnull=False)
    return {pk: (user, name) for pk, user, name in rows.values_list("pk", "user_id", "user__username")}


def _in_steps(answers: Mapping[int, list[_Answer]], own: Collection[int]) -> dict[int, list[_Answer]]:
    return {
        judge: said[: len(said) // OWN_STEP * OWN_STEP] if judge in own else said for judge, said in answers.items()
    }


def _quality(
    person: tuple[int, str], is_member: bool, said: Sequence[_Answer], votes: _Votes, known: _Known
) -> Quality:
    user_id, name = person
    items = [it for it in said if not it.is_check]
    checks = [(it, *known.kinds[user_id, it.direction_id]) for it in said if it.is_check and it.blind
              and (user_id, it.direction_id) in known.kinds]  # fmt: skip
    gold = [
        (it.verdict, known.gold[it.direction_id])
        for it, kind, _ in checks
        if kind == Check.Kind.GOLD and it.direction_id in known.gold
    ]
    # Noise is noise, whether it was drawn with the sample or mixed in; a repeat of it is the same answer once more.
    noise = [it.verdict for it in items if it.blind and it.direction_id in known.noise]
    noise += [it.verdict for it, kind, _ in checks if kind == Check.Kind.CONTROL]
    repeats = [(first, it) for it, kind, first in checks if kind == Check.Kind.REPEAT and first is not None]
    others = _others(items, votes)
    counts = Counter(it.verdict for it in said)
    timed = [it.seconds for it in said if it.seconds is not None]
    return Quality(
        name=name,
        user_id=user_id,
        is_member=is_member,
        n=len(items),
        n_checks=len(said) - len(items),
        changed=sum(not it.blind for it in said),
        gold=_rate([(verdict, verdict == right) for verdict, right in gold], "gold items"),
        noise=_rate([(verdict, verdict == YES) for verdict in noise], "controls"),
        oneself=_card(
            [(first, it.verdict) for first, it in repeats], [known.vectors[it.direction_id] for _, it in repeats]
        ),
        others=_with_others([it for it in items if it.blind], others, known),
        seconds=median(timed) if len(timed) >= FEWEST else None,
        straight=straight([it.verdict for it in said], [it.seconds for it in said], _shares(others)),
        shares={verdict: count / len(said) for verdict, count in counts.items()},
    )


def _rate(rows: Iterable[tuple[str, bool]], what: str) -> Rate:
    found = list(rows)
    counted = [hit for verdict, hit in found if verdict in TWO_VALUED]
    k, n, unsure = sum(counted), len(counted), len(found) - len(counted)
    if n < FEWEST:
        return Rate(k, n, unsure, why=f"{n} {what} answered with yes or no; {FEWEST} are needed.")
    return Rate(k, n, unsure, k / n, *wilson_interval(k, n))


def _votes(answers: Mapping[int, Sequence[_Answer]]) -> _Votes:
    """What people said blind of each item: one pass for all of them."""
    votes: _Votes = defaultdict(Counter)
    for said in answers.values():
        for it in said:
            if it.blind and not it.is_check:
                votes[it.direction_id][it.verdict] += 1
    return votes


def _others(items: Sequence[_Answer], votes: _Votes) -> dict[int, Counter[str]]:
    """Of a person's items what others said: everybody's votes less the person's own."""
    found = {}
    for it in items:
        counts = Counter(votes.get(it.direction_id, Counter()))
        if it.blind:
            counts[it.verdict] -= 1
        found[it.direction_id] = counts
    return found


def _shares(others: Mapping[int, Counter[str]]) -> dict[Hashable, float] | None:
    counts = Counter[str]()
    for votes in others.values():
        counts.update(votes)
    if counts.total() < FEWEST:
        return None
    return {verdict: count / counts.total() for verdict, count in counts.items()}


def _with_others(items: Sequence[_Answer], others: Mapping[int, Counter[str]], known: _Known) -> AgreementCard | None:
    """Against the majority of the others' yes and no; where they are divided evenly there is none."""
    pairs = []
    for it in reversed(items):
        votes = others.get(it.direction_id, Counter())
        balance = votes[YES] - votes[Verdict.NOT_INTERPRETABLE]
        if balance and it.verdict in TWO_VALUED:
            majority = YES if balance > 0 else Verdict.NOT_INTERPRETABLE
            pairs.append(((str(majority), it.verdict), known.vectors[it.direction_id]))
        if len(pairs) == SHARED_AT_MOST:
            break
    return _card([pair for pair, _ in pairs], [vector for _, vector in pairs])


def _card(pairs: Sequence[tuple[str, str]], vectors: Sequence[Hashable]) -> AgreementCard | None:
    """None where too few items have two verdicts of yes or no."""
    if sum(a in TWO_VALUED and b in TWO_VALUED for a, b in pairs) < FEWEST:
        return None
    from labelapp.statistics.agreement_card import agreement_card  # with scipy, which the web starts without

    first, second = ([it == YES if it in TWO_VALUED else None for it in side] for side in zip(*pairs, strict=True))
    return agreement_card(first, second, vectors, resamples=RESAMPLES)
