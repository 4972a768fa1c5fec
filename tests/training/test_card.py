"""The model card says what was measured."""

from interp import GPT2Config, HookedGPT2
from interp.statistics import Estimate
from interp.training import Figure, TrainingConfig
from interp.training.card import TrainingRun, figures_table, model_card

FIGURES = [
    Figure("IOI", "names", "accuracy", Estimate(0.995, 0.991, 0.998), 2000, 0.99),
    Figure("pronoun", "frames", "accuracy", Estimate(0.9, 0.89, 0.91), 2000, 0.95),
    Figure("truth", "facts", "accuracy", Estimate(0.75, 0.7, 0.8), 100),
]
SHAPE = GPT2Config(n_layers=2, n_heads=2, d_model=8, d_mlp=24, d_vocab=11, n_ctx=12)


def test_table_has_a_row_a_figure_and_says_which_one_is_missed() -> None:
    _, _, *rows = figures_table(FIGURES).splitlines()
    assert rows == [
        "| IOI | names | accuracy | 0.995 [0.991, 0.998] | 2000 | >= 0.99 |",
        "| pronoun | frames | accuracy | 0.900 [0.890, 0.910] | 2000 | MISSED >= 0.95 |",
        "| truth | facts | accuracy | 0.750 [0.700, 0.800] | 100 |  |",
    ]


def test_card_counts_the_parameters_and_holds_the_table() -> None:
    run = TrainingRun(SHAPE, TrainingConfig(steps=200), 2560, 3, 24.6, "cpu, 2 threads", 1.5)
    card = model_card(run, FIGURES)
    n_parameters = sum(p.numel() for p in HookedGPT2(SHAPE).parameters())
    assert f"{n_parameters:,} parameters" in card
    assert figures_table(FIGURES) in card
    for fact in ("license: mit", "--seed 3", "200 steps of 2560 tokens", "25 minutes", "1.500"):
        assert fact in card
