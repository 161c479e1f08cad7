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
    from labelapp.statistics.agreement_card import AgreementCard, Coefficient
    from labelapp.statistics.crowd_card import CrowdCard

POINTS_LISTED = 200
CELL_HEADS = ("both yes", "people alone yes", "machine alone yes", "both no", "yes of each side")


def methods(found: ProjectReport) -> str:
    """A paragraph that an author can paste."""
    project = found.project
    ends = "; of each vector both ends" if project.ends == "both" else ""
    sentences = [
        f"{found.n_items:,} items were drawn ({found.design}{ends})"
        + (f", {found.n_controls:,} of them controls that look the same" if found.n_controls else "")
        + (
            f"; {found.n_exploration:,} more were picked because they are worth a look, and are in no estimate"
            if found.n_exploration
            else ""
        ),
        _people_sentence(found),
    ]
    if found.people_card.n:
        sentences.append(people_words(found.people_card))
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


def _people_sentence(found: ProjectReport) -> str:
    project = found.project
    shown = f"{project.tokens_shown} tokens each, up to {_counted(project.overlap, 'person', 'people')} an item"
    under = (
        f"guidelines with a threshold of {100 * project.threshold:.0f} % "
        f"({_counted(len(found.rubrics), 'version', 'versions')})"
    )
    if not found.people:
        return f"Nobody has judged any of them yet; they are shown with {shown}, under {under}"
    judged = _counted(found.n_judged, "item", "items")
    return f"{_counted(len(found.people), 'person', 'people')} judged {judged} blind, shown {shown}, under {under}"


def people_words(card: CrowdCard) -> str:
    """How people agree among themselves, all of it."""
    if not card.n:
        return f"Agreement of people among themselves is not defined: {card.raw.why[:1].lower()}{card.raw.why[1:]}"
    return (
        f"On the {_counted(card.n, 'item', 'items')} that two people or more judged blind, with "
        f"{card.verdicts:,} verdicts in all, people agreed with each other as follows: raw agreement of pairs "
        f"{coefficient_words(card.raw)}, Krippendorff's alpha {coefficient_words(card.alpha)}, Gwet's AC1 "
        f"{coefficient_words(card.ac1)}; the prevalence of yes is {card.prevalence or 0:.2f}"
    )


def cells_words(card: AgreementCard) -> list[str]:
    """The four cells (both yes, people alone, the machine alone, both no), and the share of yes of each side."""
    people, machine = card.yes_shares
    shares = "none" if people is None or machine is None else f"{people:.2f}, {machine:.2f}"
    return [*(f"{n:,}" for row in card.table for n in row), shares]


def controls_words(machine: Machine) -> str:
    """Its yes on noise; of the offline baseline, where it judged none, its level."""
    if machine.on_controls.n:
        return share_words(machine.on_controls)
    if machine.alpha is not None:
        return f"{100 * machine.alpha:g} % by construction (its level); it judged no control"
    return "none: it judged no control of these models"


def _machine_sentence(machine: Machine) -> str:
    prompts = " and ".join(name for name, _ in machine.prompts)
    asked = f" with the prompts {prompts}" if prompts else ""
    kappa = machine.card.kappa
    agreed = f", and agrees with people with kappa {coefficient_words(kappa)}" if kappa.value is not None else ""
    agreed += f"; on controls it says yes to {controls_words(machine)}" if machine.on_controls.n else ""
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
    model = "" if point.circuit.startswith(f"{point.model} ") else point.model  # some names of bars begin with it
    place = [point.name, model, point.circuit]
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
    yield from _section("Agreement and controls", [f"{people_words(found.people_card).rstrip('.')}."])
    yield from _table(
        ["Machine", "rule", "n", "raw", "Cohen's kappa", "Gwet's AC1", "Krippendorff's alpha", "yes on controls"],
        [
            [
                it.judge.name, it.rule.identifier, f"{it.card.n:,}", coefficient_words(it.card.raw),
                coefficient_words(it.card.kappa), coefficient_words(it.card.ac1), coefficient_words(it.card.alpha),
                controls_words(it),
            ]
            for it in found.machines
        ],
    )  # fmt: skip
    if found.machines:
        yield from _table(["Machine", *CELL_HEADS], [[it.judge.name, *cells_words(it.card)] for it in found.machines])
    yield from _section(
        "Audits of the machines' labels",
        [] if found.audits else ["No run or import has answered on these items, so there are no labels to audit."],
    )
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
        title = f"Figure: {drawn.kind.title.lower()}" + (f", {drawn.of}" if drawn.of else "")
        yield from _section(title, [computed.sentence or computed.refusal])
        if drawn.svg:
            yield f"![{drawn.kind.title}](figures/{drawn.name}.svg)"
            yield ""
        yield from (f"- {note}" for note in computed.notes)
        yield ""
        yield from _table(POINT_HEADS, [point_cells(it) for it in computed.points[:POINTS_LISTED]])
        if len(computed.points) > POINTS_LISTED:
            yield f"{len(computed.points) - POINTS_LISTED:,} more rows are on the figure's page."
    prompts = dict(pair for it in found.machines for pair in it.prompts)
    yield from _section(
        "Prompts, word for word", [] if prompts else ["No stored prompt asked about what people judged here."]
    )
    for name, text in prompts.items():
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
