"""Writes on what is mixed in: the mix, and the gold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber

from labelapp.accounts.models import User
from labelapp.atlas.keys import KeyFormError, MatrixKey, direction_key_parse
from labelapp.atlas.selectors import NotStoredError, matrix_get
from labelapp.judgements.models import LABEL_LENGTH, TWO_VALUED, Judgement, Verdict
from labelapp.labelling.checks.models import Check, CheckMix, Gold, check_source
from labelapp.labelling.controls import controls_stored
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Item, Project
from labelapp.labelling.subjects import of_directions_check

MOST_SHARE = 0.5
LEAST_DISTANCE, MOST_DISTANCE = 5, 1000
MOST_GOLD_ROWS = 20_000
ORIGIN_LENGTH = 200
KEPT = 2  # of a person's planned checks that stay when the mix changes: they may lie in a browser already
YES_WORDS = {"interpretable", "yes", "y"}
NO_WORDS = {"not_interpretable", "not interpretable", "no", "n"}


@dataclass(frozen=True)
class GoldRow:
    """A verdict on a direction that is known."""

    direction_id: int
    verdict: str
    label: str = ""


@dataclass(frozen=True)
class GoldAdded:
    """What became of a list of known verdicts."""

    added: int
    changed: int
    in_sample: int  # items of the project: they stay out, or a person would meet them twice

    @property
    def sentence(self) -> str:
        if not self.added + self.changed + self.in_sample:
            return "Nothing new: these verdicts are gold already."
        parts = [f"{self.added:,} gold item{'' if self.added == 1 else 's'} added"]
        if self.changed:
            parts.append(f"{self.changed:,} changed")
        if self.in_sample:
            parts.append(f"{self.in_sample:,} left out, which the project's people judge as its items")
        return ", ".join(parts) + "."


def mix_of(project: Project) -> CheckMix:
    """What is mixed in; a mix of nothing, not stored, where nobody has chosen one."""
    return CheckMix.objects.filter(project=project).first() or CheckMix(project=project)


def mix_change(
    *,
    project: Project,
    gold_share: float,
    control_share: float,
    repeat_share: float,
    controls: Sequence[str] = (),
    distance: int = 20,
    own_shown: bool = False,
) -> CheckMix:
    """Choose what is mixed in; it may change at any time, since no estimate rests on it.

    What was planned for people under the old mix and does not lie before them yet is planned anew. Raises
    LabellingError.
    """
    of_directions_check(project)
    shares = (gold_share, control_share, repeat_share)
    if any(not 0 <= share <= MOST_SHARE for share in shares) or sum(shares) > MOST_SHARE + 1e-9:
        raise LabellingError(
            f"Checks may take at most {MOST_SHARE:.0%} of what lies before a person, all kinds together."
        )
    if not LEAST_DISTANCE <= distance <= MOST_DISTANCE:
        raise LabellingError(
            f"Between a judgement and its repeat there must be {LEAST_DISTANCE} to {MOST_DISTANCE} answers."
        )
    stored = [it.name for it in controls_stored(project)]
    if control_share and not controls:
        raise LabellingError("Say which controls are mixed in, or set their share to 0.")
    if unknown := [name for name in controls if name not in stored]:
        raise LabellingError(
            f"No {unknown[0]} control is stored for this project's models; there is {', '.join(stored) or 'none'}."
        )
    chosen = {
        "gold_share": gold_share,
        "control_share": control_share,
        "repeat_share": repeat_share,
        "share": sum(shares),
        "controls": list(controls),
        "distance": distance,
    }
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        before = mix_of(project)
        mix, _ = CheckMix.objects.update_or_create(
            project=project, defaults=chosen | {"own_shown": own_shown, "seed": project.design.get("seed", 0)}
        )
        if any(getattr(before, name) != value for name, value in chosen.items()):
            checks_forget(project)
    return mix


def checks_forget(project: Project) -> None:
    """Drop what is planned, but for what may lie in a browser, what was answered once, and what was put off."""
    place = Window(RowNumber(), partition_by=F("user"), order_by="ordinal")
    waiting = project.checks.filter(is_open=True, skipped_at=None).annotate(place=place)
    far = [pk for pk, place_ in waiting.values_list("pk", "place") if place_ > KEPT]
    answered = Judgement.objects.filter(source=check_source(project.pk)).values_list("judge__user", "direction")
    known = set(answered)
    rows = Check.objects.filter(pk__in=far).values_list("pk", "user", "direction")
    Check.objects.filter(pk__in=[pk for pk, user, direction in rows if (user, direction) not in known]).delete()


def gold_add(*, project: Project, rows: Iterable[GoldRow], origin: str, user: User | None = None) -> GoldAdded:
    """Take known verdicts, all of them or none; a verdict on a direction that has one replaces it.

    Items of the project are left out. `origin` says in words where they are from. Raises LabellingError.
    """
    of_directions_check(project)
    wanted = {row.direction_id: row for row in rows}
    if not wanted:
        raise LabellingError("There is no verdict in the list.")
    if len(wanted) > MOST_GOLD_ROWS:
        raise LabellingError(f"At most {MOST_GOLD_ROWS:,} verdicts at once, not {len(wanted):,}.")
    for row in wanted.values():
        _check(row)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        items = set(Item.objects.filter(project=project).values_list("direction_id", flat=True)) & set(wanted)
        before = dict(Gold.objects.filter(project=project).values_list("direction_id", "verdict"))
        new = [row for pk, row in wanted.items() if pk not in items]
        Gold.objects.bulk_create(
            [
                Gold(
                    project=project, direction_id=row.direction_id, verdict=row.verdict, label=row.label,
                    origin=origin[:ORIGIN_LENGTH], added_by=user,
                )
                for row in new
            ],
            batch_size=1000,
            update_conflicts=True,
            unique_fields=["project", "direction"],
            update_fields=["verdict", "label", "origin", "added_by"],
        )  # fmt: skip
    changed = sum(row.direction_id in before and before[row.direction_id] != row.verdict for row in new)
    return GoldAdded(sum(row.direction_id not in before for row in new), changed, len(items))


def gold_parse(text: str) -> list[GoldRow]:
    """From lines "key, verdict" or "key, verdict, label", with commas, tabs or spaces; empty ones and `#` are left out.

    Raises LabellingError, with the number of the line. A query for each matrix, and two for each model.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    wanted = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if len(wanted) > MOST_GOLD_ROWS:
        raise LabellingError(f"At most {MOST_GOLD_ROWS:,} verdicts at once, not {len(wanted):,}.")
    places: dict[MatrixKey, dict[tuple[str, int, str], int]] = {}
    rows: dict[int, GoldRow] = {}
    for number, line in wanted:
        try:
            row = _row_parse(line, places)
        except (KeyFormError, NotStoredError, LabellingError) as error:
            raise LabellingError(f"Line {number}: {error}") from None
        if row.direction_id in rows and rows[row.direction_id].verdict != row.verdict:
            raise LabellingError(f"Line {number}: this direction stands above with another verdict.")
        rows[row.direction_id] = row
    return list(rows.values())


def gold_remove(*, project: Project, direction_ids: Sequence[int] | None = None) -> int:
    """Forget known verdicts, all of them by default; what was answered to them stays, and counts in no accuracy."""
    rows = Gold.objects.filter(project=project)
    if direction_ids is not None:
        rows = rows.filter(direction__in=list(direction_ids))
    with transaction.atomic():
        removed = rows.count()
        rows.delete()
        checks_forget(project)
    return removed


def _row_parse(line: str, places: dict[MatrixKey, dict[tuple[str, int, str], int]]) -> GoldRow:
    """`places` keeps what was read of each matrix. Raises KeyFormError, NotStoredError, LabellingError."""
    for separator in (",", "\t", None):
        parts = [part.strip().strip('"') for part in line.split(separator, 2)]
        if len(parts) >= 2 and (verdict := _verdict_parse(parts[1])):
            break
    else:
        raise LabellingError(
            "write a key, a verdict (interpretable or not_interpretable), and a label if you like, "
            "as in gpt2/ov.0.0/1+, interpretable, animals."
        )
    key = direction_key_parse(parts[0])
    if key.matrix not in places:
        columns = ("side", "index", "sign", "pk")
        rows = matrix_get(key.matrix).directions.values_list(*columns)
        places[key.matrix] = {(side, index, sign): pk for side, index, sign, pk in rows}
    direction_id = places[key.matrix].get((key.side, key.index, key.sign))
    if direction_id is None:
        raise LabellingError(f"{key} is not stored.")
    return _check(GoldRow(direction_id, verdict, parts[2] if len(parts) > 2 else ""))


def _verdict_parse(text: str) -> str:
    word = text.lower()
    if word in YES_WORDS:
        return Verdict.INTERPRETABLE
    return Verdict.NOT_INTERPRETABLE if word in NO_WORDS else ""


def _check(row: GoldRow) -> GoldRow:
    if row.verdict not in TWO_VALUED:
        raise LabellingError("A known verdict is interpretable or not_interpretable; unsure is none.")
    if len(row.label) > LABEL_LENGTH or not row.label.isprintable():
        raise LabellingError(f"A label is one line of at most {LABEL_LENGTH} characters.")
    return row
