"""The model card says what was measured."""

from interp import GPT2Config, HookedGPT2
from interp.statistics import Estimate
from interp.training import TrainingConfig
from interp.training.batches import Batches
from interp.training.mini import Guidance, Score, Sentences, train_tokenizer
from interp.training.mini.card import Training, model_card, scores_table

FIGURES = [
    Score("IOI", "names", "accuracy", Estimate(0.995, 0.991, 0.998), 2000, 0.99),
    Score("pronoun", "frames", "accuracy", Estimate(0.9, 0.89, 0.91), 2000, 0.95),
    Score("truth", "facts", "accuracy", Estimate(0.75, 0.7, 0.8), 100),
]
SHAPE = GPT2Config(n_layers=2, n_heads=2, d_model=8, d_mlp=24, d_vocab=11, n_ctx=12)


def test_table_has_a_row_a_figure_and_says_which_one_is_missed() -> None:
    _, _, *rows = scores_table(FIGURES).splitlines()
    assert rows == [
        "| IOI | names | accuracy | 0.995 [0.991, 0.998] | 2000 | >= 0.99 |",
        "| pronoun | frames | accuracy | 0.900 [0.890, 0.910] | 2000 | MISSED >= 0.95 |",
        "| truth | facts | accuracy | 0.750 [0.700, 0.800] | 100 |  |",
    ]


def test_card_counts_the_parameters_and_says_how_it_was_trained() -> None:
    tokenizer = train_tokenizer(["The war"], d_vocab=300, n_ctx=12)
    batches = Batches(tokenizer, 12, 2560, 3, Sentences(), random=0.3, early_steps=100)
    how = Training(
        TrainingConfig(steps=200, learning_rate=2e-3),
        batches,
        Guidance(steps=80),
        24.6,
        "cpu, 2",
        1.5,
    )
    card = model_card(SHAPE, how, FIGURES)
    n_parameters = sum(p.numel() for p in HookedGPT2(SHAPE).parameters())
    assert f"{n_parameters:,} parameters" in card
    assert scores_table(FIGURES) in card
    for fact in (
        "license: mit",
        "--seed 3 --steps 200",
        "200 steps of 2560 tokens",
        "roll_call 9%",
        "30% of the rows, 50% at first",
        "the first 100 of half as many",
        "0.002 after 100 steps",
        "25 minutes on cpu, 2",
        "1.500 nats",
        "In texts no head was told",
        "first 80 steps",
        "head 0.0 look at the previous token and heads\n  1.0 and 1.1 at",
    ):
        assert fact in card, fact
