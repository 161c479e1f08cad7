"""Numbers in words, the same on pages, in sentences and in reports."""

from __future__ import annotations

from labelapp.statistics.estimation import Estimate


def percent(value: float | None, digits: int = 1) -> str:
    """ "58.4 %", "-3.0 %", or "not known"."""
    return "not known" if value is None else f"{100 * value:.{digits}f} %"


def points_words(value: float | None) -> str:
    """A difference of shares: "+12.3 points"."""
    return "not known" if value is None else f"{100 * value:+.1f} points"


def p_words(p: float | None, least: float = 0.0) -> str:
    """ "p = 0.012"; where it is the least that so many draws can give, "p ≤ 0.0005"."""
    if p is None:
        return "p not known"
    return f"p ≤ {least:.2g}" if p <= least * (1 + 1e-9) else f"p = {p:.2g}"


def interval_words(it: Estimate) -> str:
    """ " (95 % interval 53.1 to 63.0 %)", or " (no interval: …)"."""
    if it.low is None or it.high is None:
        return f" (no interval: {it.why[:1].lower()}{it.why[1:].rstrip('.')})" if it.why else " (no interval)"
    return f" (95 % interval {100 * it.low:.1f} to {100 * it.high:.1f} %)"
