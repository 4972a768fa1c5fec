"""Train the bundled model `mini` from nothing: language, tokenizer, training, scores, model card.

`python -m analyses.train_mini` writes interp/assets/mini again. It is one training by next-token
loss on a mixture of texts that changes once (`interp.training.mini.language`) and on random tokens
that come back, more of them at first (`interp.training.batches`).
The same seed on the same kind of machine with the same number of threads gives the same model;
another machine may round differently. A run that was stopped goes on with `--resume`.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import PreTrainedTokenizerBase

import interp
from interp import GPT2Config, HookedGPT2
from interp.model.saving import save
from interp.training import Batches, TrainingConfig, TrainingStep, train
from interp.training.mini import (
    Guidance,
    Sentences,
    document,
    guided_loss,
    held_out_scores,
    single_token_words,
    start,
    train_tokenizer,
)
from interp.training.mini.card import Training, model_card
from interp.training.mini.language import TOKENIZED

MINI = Path(interp.__file__).parent / "assets" / "mini"
SHAPE = GPT2Config(n_layers=5, n_heads=4, d_model=128, d_mlp=512, d_vocab=2048, n_ctx=128)
BATCH_TOKENS = 2560
STEPS = 7500
EARLY_STEPS = 2500
GUIDED_STEPS = 800
ANSWER_WEIGHT = 20.0


def run(
    out: Path = MINI,
    *,
    steps: int = STEPS,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    checkpoints: Path = Path("out/train_mini"),
    shape: GPT2Config = SHAPE,
    n_documents: int = 30_000,
    n_prompts: int = 2000,
    progress: bool = False,
) -> HookedGPT2:
    """Train the model and write it, with its card, in Hugging Face layout.

    Args:
        out: directory of the finished model.
        steps: training steps of 2,560 tokens.
        seed: seed of the language, the order of the batches and the initial weights.
        device: where to train.
        resume: go on from the checkpoint in `checkpoints`.
        checkpoints: directory of the running checkpoint.
        shape: sizes of the model; its d_vocab is an upper limit.
        n_documents: documents that the tokenizer is trained on.
        n_prompts: held-out prompts for each score.
        progress: show a bar.

    Returns:
        The trained model.
    """
    rng = Random(f"{seed}/tokenizer")
    documents = ["".join(document(rng, TOKENIZED)) for _ in range(n_documents)]
    tokenizer = train_tokenizer(
        documents, d_vocab=shape.d_vocab, n_ctx=shape.n_ctx, words=single_token_words()
    )
    config = replace(shape, d_vocab=len(tokenizer))
    model = start(HookedGPT2(config, tokenizer, name="mini", seed=seed), seed=seed).to(device)
    training, batches, guidance = recipe(tokenizer, config.n_ctx, seed, steps)
    validation = replace(batches, stream="validation", early_steps=0)
    with progress_bar(progress, steps) as show:
        history = train(
            model,
            batches,
            training,
            validation=[validation(step) for step in range(4)],
            checkpoint_dir=checkpoints,
            resume=resume,
            loss_of=partial(guided_loss, model, guidance, batches),
            on_step=show,
        )
    machine = f"{device}, {torch.get_num_threads()} threads, {platform.machine()}"
    save(model, out)
    last = history[-1]
    how = Training(training, batches, guidance, last.minutes, machine, last.validation_loss)
    card = model_card(config, how, held_out_scores(model, n=n_prompts))
    (out / "README.md").write_text(card, encoding="utf-8")
    return model


def recipe(
    tokenizer: PreTrainedTokenizerBase, n_ctx: int, seed: int, steps: int
) -> tuple[TrainingConfig, Batches, Guidance]:
    """How the model is trained, and on what.

    Args:
        tokenizer: tokenizer of the model.
        n_ctx: context of the model, in tokens.
        seed: seed of the language.
        steps: training steps.

    Returns:
        The settings, the batches, and which heads are guided how long.
    """
    training = TrainingConfig(steps=steps, learning_rate=2.5e-3, warmup=min(100, steps // 10))
    batches = Batches(
        tokenizer,
        n_ctx,
        BATCH_TOKENS,
        seed,
        Sentences(),
        early_steps=min(EARLY_STEPS, steps),
        answer_weight=ANSWER_WEIGHT,
    )
    return training, batches, Guidance(steps=min(GUIDED_STEPS, steps))


@contextmanager
def progress_bar(shown: bool, steps: int) -> Iterator[Callable[[TrainingStep], None]]:
    """A progress bar, moved by a call with where training stands.

    Args:
        shown: whether it is shown.
        steps: number of steps.

    Yields:
        The call.
    """
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, disable=not shown) as bar:
        task = bar.add_task("training", total=steps)
        yield lambda done: bar.update(
            task, completed=done.step, description=f"training, loss {done.loss:.3f}"
        )


def main(
    out: Annotated[Path, typer.Option(help="Directory of the finished model.")] = MINI,
    steps: Annotated[int, typer.Option(help="Steps of 2,560 tokens.")] = STEPS,
    seed: Annotated[
        int, typer.Option(help="Seed of the language, the batches and the weights.")
    ] = 0,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, mps.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = False,
    checkpoints: Annotated[Path, typer.Option(help="Directory of the checkpoint.")] = Path(
        "out/train_mini"
    ),
) -> None:
    """Train `mini` and write the model and its card."""
    run(
        out,
        steps=steps,
        seed=seed,
        device=device,
        resume=resume,
        checkpoints=checkpoints,
        progress=True,
    )
    typer.echo((out / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
