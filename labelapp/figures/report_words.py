"""A project's report in words: the paragraph of methods, and the whole of it as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from labelapp.figures.kinds.base import Point
from labelapp.figures.people import NO_SELECTION
from labelapp.figures.plots import SOURCE_NAMES
from labelapp.figures.project_report import Machine, ProjectReport, gap_sentence
from labelapp.judgements.models import Verdict
from labelapp.statistics.clusters import Share

if TYPE_CHECKING:
    from labelapp.statistics.agreement_card import Coefficient

POINTS_LISTED = 200


def methods(found: ProjectReport) -> str:
    """A paragraph that an author can paste."""
    project = found.project
    unit = "vectors, both ends of each" if project.ends == "both" else "directions"
    sentences = [
        f"{found.n_items:,} items were drawn ({found.design}; {unit})"
        + (f", {found.n_controls:,} of them controls that look the same" if found.n_controls else "")
        + (
            f"; {found.n_exploration:,} more were picked because they are worth a look, and are in no estimate"
            if found.n_exploration
            else ""
        ),
        f"{_counted(len(found.people), 'person', 'people')} judged {found.n_judged:,} items blind, shown "
        f"{project.tokens_shown} tokens each, up to {_counted(project.overlap, 'person', 'people')} an item, under "
        f"guidelines with a threshold of {100 * project.threshold:.0f} % "
        f"({_counted(len(found.rubrics), 'version', 'versions')})",
    ]
    if found.people_alpha is not None:
        sentences.append(f"People agreed with Krippendorff's alpha {found.people_alpha:.2f}")
    if found.people_on_controls.n:
        sentences.append(f"They called {share_words(found.people_on_controls)} of the controls interpretable")
    if found.n_decided:
        sentences.append(f"A reviewer decided {found.n_decided:,} items")
    for machine in found.machines:
        sentences.append(_machine_sentence(machine))
    estimate = next((it.computed.sentence for it in found.figures if it.kind.name == "estimates"), "")
    sentences.append(
        "Intervals keep the two ends of a vector together; items were weighted by their inclusion probability where "
        "that differs"
    )
    sentences += [estimate] if estimate else []
    if found.sample.rows and not found.sample.knows_census:
        sentences.append(NO_SELECTION)
    return ". ".join(it.rstrip(".") for it in sentences) + "."


def _machine_sentence(machine: Machine) -> str:
    prompts = " and ".join(name for name, _ in machine.prompts)
    asked = f" with the prompts {prompts}" if prompts else ""
    kappa = machine.card.kappa
    agreed = f", and agrees with people with kappa {coefficient_words(kappa)}" if kappa.value is not None else ""
    rule = f"{machine.rule.identifier} ({machine.rule.says})"
    return f"The judge {machine.judge.name}{asked} is scored by the rule {rule}{agreed}"


def coefficient_words(it: Coefficient, digits: int = 2) -> str:
    """ "0.41 (95 % interval 0.20 to 0.61)", or the sentence why there is none."""
    if it.value is None:
        return f"not defined: {it.why[:1].lower()}{it.why[1:]}" if it.why else "not defined"
    if it.low is None or it.high is None:
        return f"{it.value:.{digits}f} (no interval: {it.why[:1].lower()}{it.why[1:].rstrip('.')})"
    return f"{it.value:.{digits}f} (95 % interval {it.low:.{digits}f} to {it.high:.{digits}f})"


def share_words(it: Share) -> str:
    if it.value is None or it.low is None or it.high is None:
        return "none"
    return f"{it.yes:,} of {it.n:,}, {100 * it.value:.1f} % (95 % interval {100 * it.low:.1f} to {100 * it.high:.1f} %)"


def point_cells(point: Point) -> list[str]:
    """A point as a row: whose word, what of, the value, its interval, n, and why not."""
    place = [point.name, point.model, point.circuit]
    place += [f"layer {point.layer}"] if point.layer is not None else []
    place += [f"index {point.index:g}"] if point.index is not None else []
    place += [point.rule] if point.rule else []
    interval = "" if point.low is None or point.high is None else f"{point.low:.3f} to {point.high:.3f}"
    value = "none" if point.value is None else f"{point.value:.3f}"
    whose = SOURCE_NAMES.get(point.source, point.source)
    return [whose, " ".join(dict.fromkeys(it for it in place if it)), value, interval, f"{point.n:,}", point.why]


POINT_HEADS = ("Whose word", "Of what", "Value", "95 % interval", "n", "")


def markdown(found: ProjectReport) -> Iterator[str]:
    """The report line by line; its plots are files beside it."""
    project = found.project
    yield f"# {project.name}: report"
    yield ""
    yield f"Made {found.made_at:%Y-%m-%d %H:%M} UTC from the project `{project.slug}`."
    yield from _section("Methods", [methods(found)])
    if found.gaps:
        yield from _section("The post's rule and the released arrays", [gap_sentence(it) for it in found.gaps])
    yield from _section("Who judged")
    verdicts = [it for it in Verdict if any(person.verdicts.get(it) for person in found.people)]
    yield from _table(
        ["Person", *(str(it.label) for it in verdicts), "second looks", "all"],
        [
            [it.name, *(str(it.verdicts.get(v, 0)) for v in verdicts), str(it.n_second_looks), str(it.n)]
            for it in found.people
        ],
    )
    yield from _section("Guidelines")
    for rubric in found.rubrics:
        yield f"### Version {rubric.guidelines.version}: {rubric.n:,} judgements"
        yield ""
        yield from (f"> {line}" for line in rubric.guidelines.text.splitlines())
        yield ""
    yield from _section("Agreement with people")
    yield from _table(
        ["Machine", "rule", "n", "raw", "Cohen's kappa", "Gwet's AC1", "Krippendorff's alpha", "yes on controls"],
        [
            [
                it.judge.name, it.rule.identifier, f"{it.card.n:,}", coefficient_words(it.card.raw),
                coefficient_words(it.card.kappa), coefficient_words(it.card.ac1), coefficient_words(it.card.alpha),
                share_words(it.on_controls),
            ]
            for it in found.machines
        ],
    )  # fmt: skip
    yield from _section("Audits of the machines' labels")
    for audited in found.audits:
        yield f"### {audited.source}: {audited.n:,} answers"
        yield ""
        yield from _table(["Audit", "finds", "definition"], [[a, f"{n:,}", says] for a, says, n in audited.counts])
    yield from _section("Ground-truth sets")
    yield from _table(
        ["Set", "rule", "entries", "held out", "hash"],
        [[str(it), says, f"{it.n:,}", f"{it.n_held_out:,}", it.content_hash] for it, says in found.truths],
    )
    for drawn in found.figures:
        computed = drawn.computed
        yield from _section(f"Figure: {drawn.kind.title.lower()}", [computed.sentence or computed.refusal])
        if drawn.svg:
            yield f"![{drawn.kind.title}](figures/{drawn.kind.name}.svg)"
            yield ""
        yield from (f"- {note}" for note in computed.notes)
        yield ""
        yield from _table(POINT_HEADS, [point_cells(it) for it in computed.points[:POINTS_LISTED]])
        if len(computed.points) > POINTS_LISTED:
            yield f"{len(computed.points) - POINTS_LISTED:,} more rows are on the figure's page."
    yield from _section("Prompts, word for word")
    for name, text in dict(pair for it in found.machines for pair in it.prompts).items():
        yield f"### {name}"
        yield ""
        yield "````yaml"
        yield text.rstrip()
        yield "````"
        yield ""


def _section(title: str, paragraphs: Sequence[str] = ()) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    for paragraph in paragraphs:
        if paragraph:
            yield paragraph
            yield ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        yield "None."
        yield ""
        return
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def _counted(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
