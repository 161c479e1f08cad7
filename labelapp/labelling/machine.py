"""What a machine judge says of the directions that a project draws from: its cells, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from django.db.models import QuerySet
from django.db.models.fields.json import KT

from labelapp.atlas.models import Direction
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict, Verification
from labelapp.judgements.rules import Answers, Rule, rule_for

NOT_JUDGED = "not judged"
UNREAD = "unparsed or failed"
# Labeler × verifier, kept apart; of a judge without a verifier the verdicts.
WITH_VERIFIER = (
    "labeler yes, verifier yes", "labeler yes, verifier no", "labeler none, verifier yes", "labeler none, verifier no",
)  # fmt: skip
CELLS = (*WITH_VERIFIER, "interpretable", "not interpretable", "unsure", UNREAD, NOT_JUDGED)

# An answer that comes without a number of its own counts as so sure.
SURE = 0.9
# No machine is surer than this, so that no direction's chance to be drawn becomes tiny and its weight huge.
SUREST = 0.98
LEAST_P_VALUE = 1e-4


@dataclass(frozen=True)
class Said:
    """A machine's standing answer on one direction, with its numbers where it gave some."""

    verdict: str
    verification: str | None = None
    confidence: float | None = None  # its verifier's P(yes)
    p_value: float | None = None  # of the baseline, against alpha
    alpha: float = 0.05
    label: str = ""

    @property
    def rule(self) -> Rule:
        return rule_for(has_verifier=self.verification is not None)

    @property
    def under_rule(self) -> Verdict:
        return self.rule.verdict(Answers(self.verdict, self.label, self.verification))

    @property
    def cell(self) -> str:
        if self.verification is None:
            return Verdict(self.verdict).label if self.verdict in (*TWO_VALUED, Verdict.UNSURE) else UNREAD
        if self.verdict not in TWO_VALUED or self.verification == Verification.Answer.UNPARSED:
            return UNREAD
        labeler = "labeler yes" if self.verdict == Verdict.INTERPRETABLE else "labeler none"
        return f"{labeler}, verifier {self.verification}"

    @property
    def probability(self) -> float:
        """That the direction is interpretable, as far as the machine's own numbers tell; ½ where it cannot say.

        A verifier's P(yes) of a named meaning counts as it is. Of the baseline's p-value, the probability that a
        repetition with normal noise of one standard error would again pass alpha (Goodman 1992, "A comment on
        replication, p-values and evidence"): ½ at p = alpha. Otherwise SURE, or ½ where labeler and verifier differ.
        """
        if self.verdict not in TWO_VALUED:
            return 0.5
        named = self.verdict == Verdict.INTERPRETABLE
        if named and self.confidence is not None:
            return min(max(self.confidence, 0.0), 1.0)
        if self.p_value is not None:
            p_value = min(max(self.p_value, LEAST_P_VALUE), 1 - LEAST_P_VALUE)
            normal = NormalDist()
            return normal.cdf(normal.inv_cdf(1 - p_value) - normal.inv_cdf(1 - self.alpha))
        if self.verification is not None and named != (self.verification == Verification.Answer.YES):
            return 0.5
        return SURE if named else 1 - SURE


def uncertainty(said: Said | None) -> float:
    """√(p(1 − p)), the deviation of a verdict of probability p: .5 at most, and never near 0.

    To draw in proportion to it is what makes an estimate of a total most precise (as Neyman's allocation does for
    strata), if p is right; if it is not, the estimate is as unbiased as before, since π is known all the same.
    """
    probability = 0.5 if said is None else min(max(said.probability, 1 - SUREST), SUREST)
    return sqrt(probability * (1 - probability))


def answers_of(
    judge: Judge,
    directions: QuerySet[Direction],
    *,
    judgements_until: int | None = None,
    verifications_until: int | None = None,
) -> dict[int, Said]:
    """The last answer on each direction, by its id; with the ids, as it was when these were the latest. Two queries."""
    rows = Judgement.objects.filter(judge=judge, withdraws=None, direction__in=directions.values("pk"))
    verifications = Verification.objects.filter(judgement__in=rows.values("pk"))
    if judgements_until is not None:
        rows = rows.filter(pk__lte=judgements_until)
    if verifications_until is not None:
        verifications = verifications.filter(pk__lte=verifications_until)
    verified = dict(verifications.order_by("pk").values_list("judgement_id", "answer"))
    alpha = float(judge.parameters.get("alpha", Said.alpha))
    columns = ("direction_id", "pk", "verdict", "label", "confidence", "p_value")
    numbers = rows.annotate(confidence=KT("evidence__confidence"), p_value=KT("evidence__p_value"))
    return {
        direction: Said(verdict, verified.get(pk), _number(confidence), _number(p_value), alpha, label)
        for direction, pk, verdict, label, confidence, p_value in numbers.order_by("pk").values_list(*columns)
    }


def _number(text: str | float | None) -> float | None:
    return None if text is None else float(text)
