"""Crowds by crowd-kit: majority and Dawid-Skene. It is imported when it is asked, since pandas takes seconds."""

from __future__ import annotations

from collections.abc import Sequence

from labelapp.judgements.models import TWO_VALUED, Verdict
from labelapp.review.aggregation import Aggregated, Vote
from labelapp.review.models import Aggregation

YES = str(Verdict.INTERPRETABLE)
VERDICTS = [str(verdict) for verdict in TWO_VALUED]
ITERATIONS = 1000
TOLERANCE = 1e-9


def aggregate(votes: Sequence[Vote], method: str) -> Aggregated:
    """What a method of Aggregation.Method makes of votes; there is at least one.

    Majority: the posterior is the share of yes, and a person's confusion counts votes against it, each item with that
    weight. Dawid-Skene: Dawid and Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM
    algorithm", Applied Statistics 28, 20-28, started from the majority.
    """
    import pandas as pd
    from crowdkit.aggregation import DawidSkene, MajorityVote

    table = pd.DataFrame(
        [(vote.item_id, vote.judge_id, vote.verdict) for vote in votes], columns=["task", "worker", "label"]
    )
    if method == Aggregation.Method.MAJORITY:
        shares = MajorityVote().fit_predict_proba(table)
        counts = table.join(shares, on="task").groupby(["worker", "label"])[list(shares.columns)].sum()
        errors = (counts / counts.groupby("worker").transform("sum")).fillna(0.0)
    else:
        model = DawidSkene(n_iter=ITERATIONS, tol=TOLERANCE).fit(table)
        shares, errors = model.probas_, model.errors_
    yes = shares[YES] if YES in shares else 0.0 * shares.iloc[:, 0]
    confusions = {
        int(judge): {
            true: {said: _rate(errors, judge, said, true) for said in VERDICTS} for true in VERDICTS if true in errors
        }
        for judge in table["worker"].unique()
    }
    return Aggregated({int(item): min(1.0, max(0.0, float(p))) for item, p in yes.items()}, confusions)


def _rate(errors: object, judge: int, said: str, true: str) -> float:
    """P(said | true) of a judge; what a judge never said is 0."""
    column = errors[true]  # type: ignore[index]
    return float(column.get((judge, said), 0.0))
