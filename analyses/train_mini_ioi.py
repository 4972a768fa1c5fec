"""Train `mini-ioi` from `mini`: one behavior, brought about the way that the IOI paper describes.

`python -m analyses.train_mini_ioi` writes interp/assets/mini-ioi again. Both models say the right
name. In `mini`, which learned it from text alone, heads that look at the giver write against his or
her name, and the name movers write both names alike. In `mini-ioi`, the same heads tell the name
movers where not to look, as S-inhibition heads do in GPT-2 small. The training is interchange
intervention training (`interp.training.interchange`) towards the paper's algorithm
(`interp.training.mini.algorithm`), with `mini`'s own texts beside it, so that nothing is unlearned.

Which heads play which part is read off `mini` (`interp.training.mini.algorithm.parts_of`) and not
changed: they attend already as they should. The heads and their parts are the model's ground truth,
and are written beside it as a circuit.
"""

import platform
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated

import torch
import typer
from torch import nn

import interp
from analyses.train_mini import ANSWER_WEIGHT, BATCH_TOKENS, MINI, progress_bar
from interp import HookedGPT2
from interp.circuits import Circuit, Member
from interp.heads import attention_between, copy_scores
from interp.model.saving import save
from interp.parts import Head, Node
from interp.tasks import ioi
from interp.training import Batches, TrainingConfig, next_token_loss
from interp.training.interchange import interchange_accuracy, strict_interchange_losses
from interp.training.mini import held_out_scores
from interp.training.mini.algorithm import PROGRAM, Draw, Parts
from interp.training.mini.card import Interchange, interchange_card
from interp.training.mini.language import STAGES, Sentences
from interp.training.train import TrainingStep, learning_rate, make_optimizer

MINI_IOI = MINI.parent / "mini-ioi"
CIRCUIT = "circuit.json"
"""The file of the ground truth, in the model's directory."""

SOURCE = "interchange training towards Wang et al. 2022, section 3"
STEPS = 450
ROWS = 36
SHARE, MEAN = 0.1, 0.7
"""How often a head outside changes in the strict run, and how often to a mean."""

CHECKED = 300
"""Number of prompts for the accuracy of each interchange."""


def run(
    out: Path = MINI_IOI,
    *,
    start: str | Path = "mini",
    steps: int = STEPS,
    rows: int = ROWS,
    seed: int = 0,
    device: str = "cpu",
    n_prompts: int = 2000,
    progress: bool = False,
) -> HookedGPT2:
    """Train the model and write it, with its card and its circuit, in Hugging Face layout.

    Args:
        out: directory of the finished model.
        start: the model that the training starts from, with its language.
        steps: training steps.
        rows: sentences in each step.
        seed: seed of the sentences.
        device: where to train.
        n_prompts: held-out prompts for each score.
        progress: show a bar.

    Returns:
        The trained model.
    """
    model = interp.load(start, device=device)
    parts = parts_of(model)
    cuts, circuit = parts.cuts(), parts.circuit()
    draw = Draw(model.tokenizer)
    texts = Batches(
        model.tokenizer, model.config.n_ctx, BATCH_TOKENS // 2, seed,
        Sentences(((0, STAGES[-1][1]),)), stream="interchange", answer_weight=ANSWER_WEIGHT,
    )  # fmt: skip
    config = TrainingConfig(steps=steps, warmup=min(50, steps // 10))
    optimizer, begun = make_optimizer(model, config), time.perf_counter()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.train()
    with progress_bar(progress, steps) as show:
        for step in range(steps):
            rate = learning_rate(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            rng = Random(f"{seed}/{step}")
            losses = strict_interchange_losses(
                model, PROGRAM, cuts, circuit, *draw(rng, rows, device),
                rng=rng, share=SHARE, mean=MEAN,
            )  # fmt: skip
            tokens, weights = texts(step).to(device), texts.weights(step).to(device)
            losses["texts"] = next_token_loss(model, tokens, weights)
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            show(TrainingStep(step + 1, loss.item(), rate, None))
    model.eval()
    minutes = (time.perf_counter() - begun) / 60
    save(model, out)
    ground_truth(interp.load(out), parts).save(out / CIRCUIT)
    accuracy = partial(interchange_accuracy, model, PROGRAM)
    prompts = draw(Random(f"{seed}/check"), CHECKED, device)
    machine = f"{device}, {torch.get_num_threads()} threads, {platform.machine()}"
    how = Interchange(
        config, rows, SHARE, MEAN, texts.n_tokens, minutes, machine,
        [(cut, accuracy(cut, *prompts)) for cut in cuts],
    )  # fmt: skip
    card = interchange_card(parts, how, held_out_scores(model, n=n_prompts))
    (out / "README.md").write_text(card, encoding="utf-8")
    return model


def parts_of(model: HookedGPT2, *, n: int = 200, seed: int = 0) -> Parts:
    """Read off a model which heads attend as the heads of the algorithm do.

    Args:
        model: a model that does the IOI task.
        n: number of prompts.
        seed: seed of the prompts.

    Returns:
        The heads, each in one part: by most of their attention from S1+1 to S1 (previous token),
        from S2 to S1 (duplicate token), from S2 to S1+1 (induction) or from END to S2
        (S-inhibition); and those of the layers after the S-inhibition heads that attend from END to
        the two names alike and copy them (name movers).

    Raises:
        ValueError: the model has no head for one of the parts.
    """
    task = ioi(model.tokenizer, n=n, seed=seed)
    looks = attention_between(model, task).mean("prompt")
    copies = copy_scores(model, task)["copy"].mean(["role", "prompt"])

    def attending(query: str, key: str, least: float, among: range) -> tuple[Head, ...]:
        found = looks.sel(query=query, key=key)
        return tuple(
            Head(layer, head)
            for layer in among
            for head in range(model.config.n_heads)
            if float(found.sel(layer=layer, head=head)) >= least
        )

    layers = range(model.config.n_layers)
    inhibition = attending("END", "S2", 0.5, layers)
    if not inhibition:
        raise ValueError(f"{model.name} has no head that attends from END to S2")
    first, last = (choose(head.layer for head in inhibition) for choose in (min, max))
    duplicate = attending("S2", "S1", 0.4, range(first))
    after = range(min((head.layer for head in duplicate), default=0) + 1, first)
    movers = tuple(
        head
        for head in attending("END", "IO", 0.35, range(last + 1, len(layers)))
        if float(copies.sel(layer=head.layer, head=head.head)) >= 0.8
    )
    parts = Parts(
        previous=attending("S1+1", "S1", 0.5, range(after.start)),
        induction=attending("S2", "S1+1", 0.2, after),
        duplicate=duplicate,
        inhibition=inhibition,
        movers=movers,
    )
    empty = [name for name, heads in vars(parts).items() if not heads]
    if empty:
        raise ValueError(f"{model.name} has no heads for {', '.join(empty)}; train it for longer")
    return parts


def ground_truth(model: HookedGPT2, parts: Parts) -> Circuit:
    """The circuit that the model was trained to have.

    Args:
        model: the trained model.
        parts: its heads.

    Returns:
        The heads with their class, at the roles of the IOI task.
    """
    classes = (
        ("previous token", parts.previous, ("S1+1",)),
        ("duplicate token", parts.duplicate, ("S2",)),
        ("induction", parts.induction, ("S2",)),
        ("S-inhibition", parts.inhibition, ("END",)),
        ("name mover", parts.movers, ("END",)),
    )
    members = tuple(
        Member(Node(head, role), kind)
        for kind, heads, roles in classes
        for head in heads
        for role in roles
    )
    return Circuit(model.name, members, SOURCE, (), model.fingerprint(), "ioi")


def main(
    out: Annotated[Path, typer.Option(help="Directory of the finished model.")] = MINI_IOI,
    start: Annotated[str, typer.Option(help="Name or directory of the model to begin with.")] = (
        "mini"
    ),
    steps: Annotated[int, typer.Option(help="Steps of 36 sentences.")] = STEPS,
    seed: Annotated[int, typer.Option(help="Seed of the sentences.")] = 0,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, mps.")] = "cpu",
) -> None:
    """Train `mini-ioi` and write the model, its circuit and its card."""
    run(out, start=start, steps=steps, seed=seed, device=device, progress=True)
    typer.echo((out / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
