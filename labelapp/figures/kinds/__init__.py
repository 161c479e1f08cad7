"""The kinds of figures, by name, in the order of the bar on their pages."""

from labelapp.figures.kinds import bases, calibration, estimates, judgements, resemblance, rules, series, trends
from labelapp.figures.kinds.base import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        estimates.KIND,
        series.BY_LAYER,
        series.BY_INDEX,
        series.BY_MODEL,
        judgements.KIND,
        rules.KIND,
        trends.KIND,
        bases.KIND,
        calibration.KIND,
        resemblance.KIND,
    )
}
