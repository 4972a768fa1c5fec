"""Train the bundled model `mini` from nothing: language, tokenizer, training, figures, model card.

`python -m analyses.train_mini` writes interp/assets/mini again, in about 90 minutes of 2 CPU cores
that do nothing else.
Training has six parts. The first learns the skills; the next two go on, at lower learning rates,
with more ways to say the same and, in the second, more long repetitions, so that the skills work in
sentences that training did not have (`interp.training.mini.language`). The fourth learns induction:
heads of the first two blocks are guided to what induction heads attend to
(`interp.training.mini.guidance`) and then trained, with all the rest, on text and on random tokens
that come back anywhere, on which the guided heads keep their loss. The fifth goes on with sentences
in which the giver is hard to tell, the sixth with acronyms among them.

The same seed on the same kind of machine with the same number of threads gives the same model;
another machine may round differently.

The file is longer than most: it is one recipe, told from beginning to end.
"""

import json
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any

import torch
import typer
from jaxtyping import Int
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformers import PreTrainedTokenizerBase

import interp
from interp import GPT2Config, HookedGPT2
from interp.model.saving import save
from interp.training import (
    Batches,
    TrainingConfig,
    next_token_loss,
    train,
)
from interp.training.mini import (
    Sentences,
    document,
    guide_induction,
    guided_loss,
    held_out_scores,
    single_token_words,
    train_tokenizer,
)
from interp.training.mini.card import TrainingPart, model_card
from interp.training.mini.language import (
    FIFTH_MIXTURE,
    FOURTH_MIXTURE,
    SECOND_MIXTURE,
    SIXTH_MIXTURE,
    THIRD_MIXTURE,
)
from interp.training.train import CHECKPOINT, validation_loss

MINI = Path(interp.__file__).parent / "assets" / "mini"
SHAPE = GPT2Config(n_layers=6, n_heads=8, d_model=128, d_mlp=512, d_vocab=2048, n_ctx=128)
BATCH_TOKENS = 2560
Steps = tuple[int, int, int, int, int, int]
STEPS: Steps = (10000, 2400, 1200, 2400, 1000, 700)
COPYING_STEPS = 1500
GUIDING_STEPS = 300


def run(
    out: Path = MINI,
    *,
    steps: Steps = STEPS,
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
        steps: training steps of 2,560 tokens, of each part.
        seed: seed of the language, the order of the batches and the initial weights.
        device: where to train.
        resume: go on from the checkpoints in `checkpoints`.
        checkpoints: directory of the running checkpoints, one a part.
        shape: sizes of the model; its d_vocab is an upper limit.
        n_documents: documents that the tokenizer is trained on.
        n_prompts: held-out prompts for each figure.
        progress: show a bar.

    Returns:
        The trained model.
    """
    rng = Random(f"{seed}/tokenizer")
    documents = [document(rng) for _ in range(n_documents)]
    tokenizer = train_tokenizer(
        documents, d_vocab=shape.d_vocab, n_ctx=shape.n_ctx, words=single_token_words()
    )
    config = replace(shape, d_vocab=len(tokenizer))
    model = _widen_initial_weights(HookedGPT2(config, tokenizer, name="mini", seed=seed)).to(device)
    parts, guided = [], checkpoints / "guided.json"
    for name, (training, batches) in recipe(tokenizer, config.n_ctx, seed, steps).items():
        guiding_steps, loss_of = 0, None
        if name == "fourth":
            guiding_steps = min(GUIDING_STEPS, training.steps)
            if not (resume and (checkpoints / name / CHECKPOINT).exists()):
                guided.parent.mkdir(parents=True, exist_ok=True)
                guided.write_text(json.dumps(heads_to_guide(model, batches)), encoding="utf-8")
                with _bar(progress, "guiding", guiding_steps) as show:
                    returning = replace(batches, stream="fourth guidance", returning_every=1)
                    guide_induction(
                        model, **_guided(guided), batches=returning, steps=guiding_steps, seed=seed,
                        on_step=show,
                    )  # fmt: skip
        if batches.returning_every:
            loss_of = partial(_loss_of, model, batches, _guided(guided))
        part = train_part(
            model, training, batches, checkpoints / name, resume=resume, loss_of=loss_of,
            progress=progress,
        )  # fmt: skip
        parts.append(replace(part, guiding_steps=guiding_steps))
    save(model, out)
    scores = held_out_scores(model, n=n_prompts)
    (out / "README.md").write_text(model_card(config, parts, scores), encoding="utf-8")
    return model


def recipe(
    tokenizer: PreTrainedTokenizerBase, n_ctx: int, seed: int, steps: Steps
) -> dict[str, tuple[TrainingConfig, Batches]]:
    """How each part is trained, and on what.

    Args:
        tokenizer: tokenizer of the model.
        n_ctx: context of the model, in tokens.
        seed: seed of the language.
        steps: training steps of the six parts.

    Returns:
        For "first" to "sixth", the settings and the batches.
    """
    first, second, third, fourth, fifth, sixth = steps
    returning = Batches(
        tokenizer, n_ctx, BATCH_TOKENS, seed, Sentences(), repeated=0.0, returning_every=3
    )
    return {
        "first": (
            TrainingConfig(steps=first, learning_rate=3e-3, warmup=min(100, first // 10)),
            Batches(
                tokenizer,
                n_ctx,
                BATCH_TOKENS,
                seed,
                Sentences(),
                copying_steps=min(COPYING_STEPS, first // 10),
            ),
        ),
        "second": (
            TrainingConfig(steps=second, learning_rate=1.5e-3, warmup=min(50, second // 10)),
            Batches(
                tokenizer,
                n_ctx,
                BATCH_TOKENS,
                seed,
                stream="second",
                write=Sentences(SECOND_MIXTURE),
                long_every=2,
            ),
        ),
        "third": (
            TrainingConfig(steps=third, learning_rate=1e-3, warmup=min(50, third // 10)),
            Batches(tokenizer, n_ctx, BATCH_TOKENS, seed, Sentences(THIRD_MIXTURE), stream="third"),
        ),
        "fourth": (
            TrainingConfig(steps=fourth, learning_rate=2e-3, warmup=min(50, fourth // 10)),
            replace(returning, stream="fourth", write=Sentences(FOURTH_MIXTURE)),
        ),
        "fifth": (
            TrainingConfig(steps=fifth, learning_rate=1e-3, warmup=min(50, fifth // 10)),
            replace(returning, stream="fifth", write=Sentences(FIFTH_MIXTURE)),
        ),
        "sixth": (
            TrainingConfig(steps=sixth, learning_rate=7e-4, warmup=min(50, sixth // 10)),
            replace(returning, stream="sixth", write=Sentences(SIXTH_MIXTURE)),
        ),
    }


def heads_to_guide(model: HookedGPT2, batches: Batches) -> tuple[int, list[int]]:
    """The heads that part 4 makes a previous-token head and induction heads.

    In block 0 it is the head that text can best do without; in block 1 the head that text needs
    most is spared, and it is all others.

    Args:
        model: after part 3.
        batches: batches of part 4.

    Returns:
        The previous-token head of block 0, and the induction heads of block 1.
    """
    text = replace(batches, stream=f"{batches.stream} validation", returning_every=0)
    sample = [text(step) for step in range(4)]
    first, second = (losses_without_heads(model, layer, sample) for layer in (0, 1))
    dispensable, spared = first.index(min(first)), second.index(max(second))
    return dispensable, [head for head in range(model.config.n_heads) if head != spared]


def losses_without_heads(
    model: HookedGPT2, layer: int, batches: Sequence[Int[Tensor, "row pos"]]
) -> list[float]:
    """The next-token loss with each head of a layer in turn held at its mean.

    Args:
        model: left as it is.
        layer: whose heads.
        batches: to measure on.

    Returns:
        For each head the loss, in nats a token.
    """

    def at_mean(z: Tensor, hook: HookPoint, head: int) -> Tensor:
        z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    losses = []
    for head in range(model.config.n_heads):
        hook = (f"blocks.{layer}.attn.hook_z", partial(at_mean, head=head))
        with model.hooks(fwd_hooks=[hook]):
            losses.append(validation_loss(model, batches))
    return losses


def train_part(
    model: HookedGPT2,
    training: TrainingConfig,
    batches: Batches,
    checkpoints: Path,
    *,
    resume: bool = False,
    loss_of: Callable[[int, Tensor], Tensor] | None = None,
    progress: bool = False,
) -> TrainingPart:
    """Train one part of the recipe.

    Args:
        model: trained in place.
        training: settings.
        batches: what to train on.
        checkpoints: directory of the running checkpoint.
        resume: go on from the checkpoint there.
        loss_of: as in `train`.
        progress: show a bar.

    Returns:
        What the card says of it.
    """
    validation = replace(batches, stream=f"{batches.stream} validation", copying_steps=0)
    with _bar(progress, "training", training.steps) as show:
        history = train(
            model,
            batches,
            training,
            validation=[validation(step) for step in range(4)],
            checkpoint_dir=checkpoints,
            resume=resume,
            loss_of=loss_of,
            on_step=lambda done: show(done.step, done.loss),
        )
    machine = f"{model.device.type}, {torch.get_num_threads()} threads, {platform.machine()}"
    last = history[-1]
    return TrainingPart(training, batches, last.minutes, machine, last.validation_loss)


def _guided(file: Path) -> dict[str, Any]:
    """The guided heads of a run, as arguments."""
    previous, induction = json.loads(file.read_text(encoding="utf-8"))
    return {"previous": (0, previous), "induction": [(1, head) for head in induction]}


def _loss_of(
    model: HookedGPT2, batches: Batches, heads: dict[str, Any], step: int, tokens: Tensor
) -> Tensor:
    """The next-token loss; on random tokens that come back, with that of the guided heads."""
    if batches.is_returning(step):
        return guided_loss(model, tokens, **heads)
    return next_token_loss(model, tokens)


@contextmanager
def _bar(shown: bool, name: str, steps: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar, moved by a call with the steps done and the loss."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, disable=not shown) as bar:
        task = bar.add_task(name, total=steps)
        yield lambda done, loss: bar.update(
            task, completed=done, description=f"{name}, loss {loss:.3f}"
        )


@torch.no_grad()
def _widen_initial_weights(model: HookedGPT2) -> HookedGPT2:
    """GPT-2's initial standard deviations, brought from its width of 768 to that of the model.

    Activations then have GPT-2's initial size. Token embeddings are made larger still, so that
    tokens that occur in the same places stay apart while copying is not learned yet.
    """
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter *= math.sqrt(768 / model.config.d_model)
    model.embed.W_E *= 2
    return model


def main(
    out: Annotated[Path, typer.Option(help="Directory of the finished model.")] = MINI,
    steps: Annotated[Steps, typer.Option(help="Steps of 2,560 tokens, of each part.")] = STEPS,
    seed: Annotated[
        int, typer.Option(help="Seed of the language, the batches and the weights.")
    ] = 0,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, mps.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoints.")] = False,
    checkpoints: Annotated[Path, typer.Option(help="Directory of the checkpoints.")] = Path(
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
