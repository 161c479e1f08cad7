"""The forms of structured answers, as pydantic models. Imported only where structured answers are asked for.

A form's name is part of every request's hash, so a form never changes: a new one gets a new name.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LabelerAnswer1(_Form):
    """`label` completes "most of these words are ..." or is empty."""

    interpretable: bool = Field(description="true if most of the words share a concept")
    label: str = Field(description='what completes "most of these words are ...", or empty')


class VerifierAnswer1(_Form):
    """Whether the interpretation fits the list."""

    fits: bool = Field(description="true if the interpretation is right for the list")


class DetectorAnswer1(_Form):
    """The numbers of the items that belong to the label."""

    numbers: list[int] = Field(description="the numbers of the items that fit")


class ChoiceAnswer1(_Form):
    """The one item that was asked for."""

    number: int = Field(description="the number of the item")


FORMS: dict[str, type[BaseModel]] = {
    "labeler-1": LabelerAnswer1,
    "verifier-1": VerifierAnswer1,
    "detector-1": DetectorAnswer1,
    "intruder-1": ChoiceAnswer1,
    "matcher-1": ChoiceAnswer1,
}
