"""The model card says what was measured."""

from dataclasses import replace

from interp import GPT2Config, HookedGPT2
from interp.statistics import Estimate
from interp.training import TrainingConfig
from interp.training.batches import Batches
from interp.training.mini import Score, Sentences, train_tokenizer
from interp.training.mini.card import TrainingPart, model_card, scores_table
from interp.training.mini.language import SECOND_MIXTURE

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


def test_card_counts_the_parameters_and_holds_the_table_and_every_part() -> None:
    first = Batches(
        train_tokenizer(["The war"], d_vocab=300, n_ctx=12),
        12,
        2560,
        3,
        Sentences(),
        copying_steps=100,
    )
    second = replace(first, write=Sentences(SECOND_MIXTURE), long_every=2, copying_steps=0)
    third = replace(second, returning_every=3)
    card = model_card(
        SHAPE,
        [
            TrainingPart(TrainingConfig(steps=200), first, 24.6, "cpu, 2 threads", 1.5),
            TrainingPart(TrainingConfig(steps=150), second, 9.7, "cpu, 1 threads", 1.25),
            TrainingPart(
                TrainingConfig(steps=50, warmup=5),
                third,
                3.1,
                "cpu, 1 threads",
                1.2,
                guiding_steps=30,
            ),
            TrainingPart(TrainingConfig(steps=40, warmup=5), third, 3.1, "cpu", 1.1),
        ],
        FIGURES,
    )
    n_parameters = sum(p.numel() for p in HookedGPT2(SHAPE).parameters())
    assert f"{n_parameters:,} parameters" in card
    assert scores_table(FIGURES) in card
    for fact in (
        "license: mit",
        "--seed 3 --steps 200 150 50 40",
        "Part 1. 200 steps of 2560 tokens",
    ):
        assert fact in card
    one, two = card.split("Part 1. ")[1].split("Part 2. ")
    two, three = two.split("Part 3. ")
    three, four = three.split("Part 4. ")
    for fact in ("25 minutes", "1.500", "one batch in 4", "falling by 1/100 a step"):
        assert fact in one and fact not in two
    for fact in ("10 minutes", "1.250", "one batch in 2", "chronicle "):
        assert fact in two and fact not in one
    for fact in ("one batch in 3 is random tokens", "in 30 steps, one head"):
        assert fact in three and fact not in one + two
    assert "one batch in 3 is random tokens" in four and "one head" not in four
