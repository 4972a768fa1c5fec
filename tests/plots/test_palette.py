"""Colors: one a class, all of them visible, and a scale that is centered at zero."""

import pytest

from interp.circuits import CLASSES
from interp.plots.palette import (
    DIVERGING,
    INK,
    KIND_COLORS,
    KIND_SYMBOLS,
    MUTED,
    PAPER,
    contrast,
    diverging,
    ink_on,
    mix,
)


def test_every_class_has_its_own_color_and_marker():
    assert list(KIND_COLORS) == list(KIND_SYMBOLS) == list(CLASSES)
    assert len(set(KIND_COLORS.values())) == len(set(KIND_SYMBOLS.values())) == len(CLASSES)


def test_contrast_of_black_and_white():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1
    assert contrast("#0A0A0A", "#FFFFFF") == pytest.approx(1.05 / (10 / 255 / 12.92 + 0.05))


@pytest.mark.parametrize("color", KIND_COLORS.values())
def test_text_on_a_class_tint_is_readable(color):
    tint = mix(color, PAPER, 0.88)
    assert contrast(INK, tint) > 7
    assert contrast(MUTED, tint) > 4.5
    assert contrast(color, PAPER) > 2


def test_text_on_the_scale_is_readable():
    for step in range(-20, 21):
        background = diverging(step / 20, 1.0)
        assert contrast(ink_on(background), background) > 3.5


def test_diverging_scale():
    assert diverging(-3.0, 3.0) == diverging(-9.0, 3.0) == DIVERGING[0][1]
    assert diverging(3.0, 3.0) == diverging(9.0, 3.0) == DIVERGING[-1][1]
    assert diverging(0.0, 3.0) == dict(DIVERGING)[0.5]
    with pytest.raises(ValueError, match="above 0"):
        diverging(0.0, 0.0)


def test_mix():
    assert mix("#000000", "#FF8040", 0.5) == "#804020"
