"""Figures of the weights show the numbers they are given, where they belong."""

import numpy as np
import pytest

from interp.heads import composition_scores, position_similarity, position_spectrum
from interp.plots import composition_heatmap, similarity_heatmap, spectrum_lines
from tests.helpers import random_model


@pytest.fixture(scope="module")
def model():
    return random_model()


def test_composition_is_in_the_cell_of_its_heads(model):
    scores = composition_scores(model).sel(kind="k")
    figure = composition_heatmap(scores)
    cells = figure.data[0]
    assert cells.x[1 * 4 + 2] == "1.2" and cells.y[0 * 4 + 3] == "0.3"
    expected = scores.sel(sender_layer=0, sender_head=3, layer=1, head=2)
    assert cells.z[3, 6] == pytest.approx(float(expected), abs=1e-4)
    assert np.isnan(cells.z[6, 3])  # no pair
    assert cells.zmin == -cells.zmax
    assert len(figure.layout.shapes) == 4  # between three layers, down and across


def test_composition_needs_one_kind_and_a_pair(model):
    with pytest.raises(ValueError, match="select one kind"):
        composition_heatmap(composition_scores(model))
    with pytest.raises(ValueError, match="no pair"):
        composition_heatmap(composition_scores(random_model(n_layers=1)).sel(kind="q"))


def test_similarity_shows_evenly_spaced_positions(monkeypatch, model):
    similarity = position_similarity(model)["learned"]
    cells = similarity_heatmap(similarity).data[0]
    assert cells.z.shape == (32, 32) and (cells.zmin, cells.zmax) == (-1, 1)
    monkeypatch.setattr("interp.plots.weights._POSITIONS", 10)
    cells = similarity_heatmap(similarity).data[0]
    assert list(cells.x) == list(cells.y) == list(range(0, 32, 4))
    expected = float(similarity.sel(pos=8, other=12))
    assert cells.z[2, 3] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="pos, other"):
        similarity_heatmap(similarity[0])


def test_the_spectrum_has_a_line_each(model):
    spectrum = position_spectrum(model)
    figure = spectrum_lines(spectrum)
    assert [line.name for line in figure.data] == ["learned", "sinusoidal"]
    np.testing.assert_allclose(figure.data[0].y, spectrum["learned"].values)
    assert figure.data[0].x[0] == 32  # one cycle over the table
