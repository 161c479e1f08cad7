"""The report as text for a terminal: tables of counts, each share with its Wilson interval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from labelapp.figures.report import REPORTED_AUDITS, Report, Share
from labelapp.judgements.rules import DEFAULT_RULE, RULES
from labelapp.statistics.audits import MEANING, NO_MEANING
from labelapp.statistics.estimation import wilson_interval

CELLS = ((MEANING, "labeler names a meaning"), (NO_MEANING, "labeler finds none"))


def report_lines(report: Report) -> Iterator[str]:
    yield f"Judge {report.judge.pk}: {report.judge}"
    for rule in RULES.values():
        default = " (the default)" if rule.name == DEFAULT_RULE else ""
        yield f"  {rule.identifier}: {rule.says}{default}"
    for title, rows in (
        ("Interpretable, of n directions, under each rule", _slices(report)),
        ("All together, with Wilson 95 % intervals", _wholes(report)),
        ("Labeler by verifier", _cells(report)),
        ("Index 0 against the rest", _indices(report)),
        ("First quarter of the layers against the last", _quarters(report)),
        ("The same token set on several directions", _repeated(report)),
        ("Audits", _audits(report)),
    ):
        yield ""
        yield title
        yield from aligned(rows)


def aligned(rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns of text: the first ones to the left, numbers to the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in texts) for place in range(len(texts[0]))]
    return [
        "  " + "  ".join(_cell(text, width) for text, width in zip(row, widths, strict=True)).rstrip() for row in texts
    ]


def _cell(text: str, width: int) -> str:
    return text.rjust(width) if text[:1].isdigit() or text[:1] in "–." else text.ljust(width)


def _share(value: float | None) -> str:
    """As in `.5840`; a dash where nothing was judged."""
    return "–" if value is None else f"{value:.4f}".removeprefix("0")


def _slices(report: Report) -> Iterator[Sequence[object]]:
    yield ("model", "circuit", "n", *RULES, *(f"{rule} share" for rule in RULES))
    for it in report.slices:
        yield (it.name, it.circuit, *_counts(it.share))
    yield ("all", "", *_counts(report.whole))


def _counts(found: Share) -> list[object]:
    return [
        found.n,
        *("–" if yes is None else yes for yes in found.yes),
        *(_share(found.fraction(rule)) for rule in RULES),
    ]


def _wholes(report: Report) -> Iterator[Sequence[object]]:
    yield ("rule", "interpretable", "n", "share", "from", "to")
    whole = report.whole
    for rule, yes in zip(RULES, whole.yes, strict=True):
        if yes is None:  # no verifier was asked
            continue
        low, high = wilson_interval(yes, whole.n)
        yield (rule, yes, whole.n, _share(whole.fraction(rule)), _share(low), _share(high))


def _cells(report: Report) -> Iterator[Sequence[object]]:
    cells = report.cells
    yield ("", "verifier yes", "not yes", "of these no", "unparsed", "not asked")
    known = dict(CELLS)
    for verdict in [*known, *sorted({verdict for verdict, _ in cells} - known.keys())]:
        no, unparsed, nothing = (cells[verdict, answer] for answer in ("no", "unparsed", ""))
        name = known.get(verdict, f"labeler {verdict}")
        yield (name, cells[verdict, "yes"], no + unparsed + nothing, no, unparsed, nothing)


def _indices(report: Report) -> Iterator[Sequence[object]]:
    yield ("index", "n", *(f"{rule} share" for rule in RULES))
    for name, found in (
        ("0", report.where(lambda it: it.index == 0)),
        ("the rest", report.where(lambda it: it.index != 0)),
    ):
        yield (name, found.n, *(_share(found.fraction(rule)) for rule in RULES))


def _quarters(report: Report) -> Iterator[Sequence[object]]:
    yield ("model", "circuit", *(f"{rule}{part}" for rule in RULES for part in (" first", " last")))
    for it in report.slices:
        ends = (it.quarter(last=False), it.quarter(last=True))
        yield (it.name, it.circuit, *(_share(end.fraction(rule)) for rule in RULES for end in ends))


def _repeated(report: Report) -> Iterator[Sequence[object]]:
    yield ("rule", "token sets", "directions", "pairs", "agreement", "Krippendorff's alpha")
    for rule, found in report.repeated.items():
        yield (rule, found.sets, found.directions, found.pairs, _share(found.agreement), _share(found.alpha))


def _audits(report: Report) -> Iterator[Sequence[object]]:
    yield ("audit", *(f"{it.name} {it.circuit}" for it in report.slices), "all")
    for audit in REPORTED_AUDITS:
        counts = [it.audits[audit.name] for it in report.slices]
        yield (audit.name, *counts, sum(counts))
