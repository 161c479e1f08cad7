"""Somebody else recomputes figures from what can be saved of them, and from nothing else.

The formulas are ppi-python's, statsmodels' and a few lines of numpy; the files are read with pandas.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.conf import settings

from tests.figures.conftest import Census

pytestmark = pytest.mark.django_db


@pytest.fixture
def saved(owner, owner_client):
    census = Census(layers=3, vectors=60, signs="+")
    project = census.project(owner, n=120)

    def read(kind):
        query = f"?project={project.slug}"
        files = (f"/figures/{kind}.csv", f"/figures/{kind}/census.csv", f"/figures/{kind}/labels.csv")
        contents = [owner_client.get(it + query).content for it in files]
        return [pd.read_csv(io.BytesIO(it), keep_default_na=False, na_values=[""]) for it in contents]

    return read


def test_the_estimates_from_counts_and_labels(saved):
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
    from statsmodels.stats.proportion import proportion_confint

    points, census, labels = saved("estimates")
    points = points.set_index("name")
    human = labels["human"].to_numpy(float)
    machine = (labels["machine"] == "interpretable").to_numpy(float)
    yes, no = int(census["interpretable"].sum()), int(census["not_interpretable"].sum())
    others = np.repeat([1.0, 0.0], [yes - int(machine.sum()), no - int((1 - machine).sum())])
    tuning = np.cov(human, machine, ddof=0)[0, 1] / np.var([1.0] * yes + [0.0] * no) / (1 + len(human) / len(others))
    value = float(ppi_mean_pointestimate(human, machine, others, lam=tuning)[0])
    low, high = (float(it[0]) for it in ppi_mean_ci(human, machine, others, alpha=0.05, lam=tuning))
    stated = points.loc["PPI++"]
    assert (stated["value"], stated["low"], stated["high"]) == pytest.approx((value, low, high), abs=1e-6)
    wilson = proportion_confint(int(human.sum()), len(human), method="wilson")
    stated = points.loc["human only (Wilson)"]
    assert (stated["low"], stated["high"]) == pytest.approx(wilson)
    assert points.loc["machine alone", "value"] == pytest.approx(yes / (yes + no))


def test_the_figure_by_layer_from_counts_and_labels(saved):
    from scipy.stats import beta, norm, t

    points, census, labels = saved("layers")
    for layer in range(3):
        own = labels[labels["layer"] == layer]
        here = census[census["layer"] == layer][["interpretable", "not_interpretable"]].sum()
        stated = points[points["layer"] == layer].set_index("source")
        assert stated.loc["person", "value"] == pytest.approx(own["human"].mean())
        assert stated.loc["machine", "value"] == pytest.approx(here["interpretable"] / here.sum())
        # Stratified Beta as docs/statistics.md states it, a random sample of the layer.
        human = own["human"].to_numpy(float)
        says = (own["machine"] == "interpretable").to_numpy()
        size, n = int(here.sum()), len(human)
        shares = {True: here["interpretable"] / size, False: here["not_interpretable"] / size}
        pi, heaviest = n / size, size / n
        value = mean = variance = 0.0
        for stratum, share in shares.items():
            h = human[says == stratum]
            k = len(h)
            weight = k * heaviest + heaviest
            middle = (h.sum() * heaviest + heaviest / 2) / weight
            seen = heaviest**2 * (1 - pi) * ((h - middle) ** 2).sum()
            unseen = heaviest**2 * ((1 - middle) ** 2 + middle**2) / 2
            value += share * h.mean()
            mean += share * middle
            variance += share**2 * (seen + unseen) / weight**2 * (k + 1) / (k + 2)
        z, tail = norm.ppf(0.975), 0.025
        nu = (mean * (1 - mean) / variance - 1) * (z / t.ppf(1 - tail, n - 2)) ** 2
        shift = 0.25 + 0.19 * (1 - 4 * mean * (1 - mean))
        low = beta.ppf(tail, mean * nu - shift, (1 - mean) * nu + shift)
        high = beta.ppf(1 - tail, mean * nu + shift, (1 - mean) * nu - shift)
        stated = stated.loc["corrected"]
        assert (stated["value"], stated["low"], stated["high"]) == pytest.approx((value, low, high), abs=1e-9)


def test_the_documented_snippet(owner, owner_client, tmp_path, monkeypatch):
    """As it stands in docs/figures.md, both ends of each vector among the labels."""
    project = Census(layers=3, vectors=20).project(owner, n=100)
    for name in ("census", "labels"):
        content = owner_client.get(f"/figures/layers/{name}.csv?project={project.slug}").content
        (tmp_path / f"layers-{name}.csv").write_bytes(content)
    points = owner_client.get(f"/figures/layers.csv?project={project.slug}").content
    points = pd.read_csv(io.BytesIO(points)).set_index(["source", "model", "layer"])["value"]
    text = (Path(settings.BASE_DIR) / "docs" / "figures.md").read_text(encoding="utf-8")
    snippet = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(snippet, found)
    assert set(found["labels"]["sign"]) == {"+", "-"}
    for name, source in (("machine", "machine"), ("people", "person")):
        assert found[name].to_dict() == pytest.approx(points[source].to_dict())
