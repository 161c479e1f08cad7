"""Verdict rules: named, versioned functions from what a machine said to one automated verdict.

Labeler × verifier gives four cells; which of them count as interpretable is the rule, and conclusions hang on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labelapp.judgements.models import Verdict, Verification
from labelapp.statistics.labels import is_generic


@dataclass(frozen=True)
class Answers:
    """What one judge said on one direction; `verification` is None where no verifier was asked.

    `has_verifier`: whether the judge has one at all, which may be asked about labels alone.
    """

    verdict: str
    label: str = ""
    verification: str | None = None
    has_verifier: bool = False


@dataclass(frozen=True)
class Rule:
    name: str
    version: int
    says: str  # when it says interpretable, for pages and exports
    function: Callable[[Answers], Verdict]
    needs_verifier: bool = False
    labeler_may_settle: bool = False  # its no is a no, whether the verifier is asked about it or not

    @property
    def identifier(self) -> str:
        """As it stands in exports: `both@1`."""
        return f"{self.name}@{self.version}"

    def applies(self, answers: Answers) -> bool:
        """Whether there is a verdict under the rule: one that needs a verifier has it where that answered, and where
        the labeler of a judge with a verifier named nothing that could be checked.
        """
        if not self.needs_verifier or answers.verification is not None:
            return True
        return self.labeler_may_settle and answers.has_verifier and answers.verdict != Verdict.INTERPRETABLE

    def verdict(self, answers: Answers) -> Verdict:
        return self.function(answers)


def _labeler(answers: Answers) -> Verdict:
    return Verdict(answers.verdict)


def _verifier(answers: Answers) -> Verdict:
    """The verifier's yes counts whatever the labeler said: also the yes to "these words share no meaning"."""
    if answers.verification == Verification.Answer.YES:
        return Verdict.INTERPRETABLE
    if answers.verification == Verification.Answer.NO:
        return Verdict.NOT_INTERPRETABLE
    return Verdict.UNPARSED


def _both(answers: Answers) -> Verdict:
    """Two nos make a no, and one suffices; an answer that could not be read leaves the verdict open."""
    labeler = Verdict(answers.verdict)
    if labeler != Verdict.INTERPRETABLE:
        return labeler
    return _verifier(answers)


def _both_specific(answers: Answers) -> Verdict:
    """As `both`, and the label is more than a part of speech (`statistics.labels.is_generic` has the list)."""
    verdict = _both(answers)
    if verdict == Verdict.INTERPRETABLE and is_generic(answers.label):
        return Verdict.NOT_INTERPRETABLE
    return verdict


def verdicts_of(answers: Answers) -> dict[str, Verdict]:
    """The verdict under each rule that applies."""
    return {rule.name: rule.verdict(answers) for rule in RULES.values() if rule.applies(answers)}


# In the order in which pages show them, from the most to the least generous. Whoever changes what a rule says, or
# the list of generic labels, counts its version up: figures and exports name it.
RULES = {
    rule.name: rule
    for rule in (
        Rule("labeler", 1, "the labeler names a meaning", _labeler),
        Rule("verifier", 1, "the verifier says yes, whatever the labeler said", _verifier, needs_verifier=True),
        Rule(
            "both",
            1,
            "the labeler names a meaning and the verifier says yes",
            _both,
            needs_verifier=True,
            labeler_may_settle=True,
        ),
        Rule(
            "both_specific",
            1,
            "both say so, and the label is not merely a part of speech",
            _both_specific,
            needs_verifier=True,
            labeler_may_settle=True,
        ),
    )
}
DEFAULT_RULE = "both"


def rule_for(*, has_verifier: bool) -> Rule:
    """The default rule; a judge without a verifier is scored by `labeler`."""
    return RULES[DEFAULT_RULE] if has_verifier else RULES["labeler"]
