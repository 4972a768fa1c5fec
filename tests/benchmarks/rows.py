"""The interventions that are timed, each beside what does the same today.

Activation patching is compared with `transformer_lens.patching` on TransformerLens's bridge; path
patching with plain hooks on that bridge, batched over prompts, one run a sender (two for receivers
inside the model), and with the same hooks on our own model, whose forward is faster. What runs cell
by cell in a loop is timed on a sample of its cells and counted for all of them; ours is always
timed whole, both base runs and labelling included, which the other side gets for nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from transformer_lens import patching as theirs

import interp
from interp.patching import Receivers, Selection, patch, path_patch
from interp.tasks import Task

SMALL = interp.GPT2Config(
    n_layers=12, n_heads=12, d_model=768, d_mlp=3072, d_vocab=50257, n_ctx=1024
)
"""The shape of GPT-2 small."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        name: what is measured.
        prompts: on how many prompts.
        ours: the whole of it -> mean metric of each cell.
        theirs: a sample of it -> mean metric of each cell of the sample.
        sample: which cells that are, as an index into those of `ours`.
        share: the cells of the sample, as a fraction of all.
        goal: how many times faster ours should be.
        hooked: what `theirs` does, by plain hooks on our own model, where that is another thing.
    """

    name: str
    prompts: int
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    sample: tuple[Tensor, ...]
    share: float
    goal: float
    hooked: Callable[[], Tensor] | None = None


def random_gpt2(config: interp.GPT2Config = SMALL, seed: int = 0) -> interp.HookedGPT2:
    """A random model whose activations are far from zero everywhere."""
    model = interp.HookedGPT2(config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
            else:
                parameter *= (768 / config.d_model) ** 0.5  # activations of GPT-2 small's size
        for block in model.blocks:  # attention that tells positions apart
            block.attn.W_Q.mul_(4)
            block.attn.W_K.mul_(4)
    return model


def random_prompts(n: int, length: int, d_vocab: int, *, changed: Sequence[int] = (1, 5)) -> Task:
    """Random prompts of one length, whose partners differ at two positions."""
    generator = torch.Generator().manual_seed(1)
    clean = torch.randint(0, d_vocab, (n, length), generator=generator)
    corrupted = clean.clone()
    for pos in changed:
        corrupted[:, pos % length] = (clean[:, pos % length] + 1 + pos) % d_vocab
    answer = torch.randint(0, d_vocab - 1, (n,), generator=generator)
    end = torch.full((n,), length - 1)
    return Task(
        "random", ("x",) * n, ("x",) * n, clean, corrupted,
        attention_mask=torch.ones_like(clean, dtype=torch.bool), answer=answer, foil=answer + 1,
        positions={"END": end}, group=("all",) * n, template=("",) * n, order=("",) * n,
    )  # fmt: skip


def logit_diff(task: Task, logits: Tensor) -> Tensor:
    """Mean logit difference at the last position of full logits."""
    rows = torch.arange(len(task))
    last = logits[:, -1]
    return (last[rows, task.answer] - last[rows, task.foil]).mean()


def mean(result: Tensor | object) -> Tensor:
    """Mean over prompts of a result of ours."""
    return torch.as_tensor(result.logit_diff.mean("prompt").values)  # type: ignore[attr-defined]


def patching_row(
    name: str,
    model: interp.HookedGPT2,
    bridge: object,
    task: Task,
    site: str,
    sweep: partial,
    axes: tuple[str, str],
    n_sample: int,
    goal: float,
) -> Row:
    """Clean activations into the corrupted run, against `transformer_lens.patching`."""
    sizes = {"layer": model.config.n_layers, "head_index": model.config.n_heads}
    sizes["pos"] = task.clean_tokens.shape[1]
    total = sizes[axes[0]] * sizes[axes[1]]
    chosen = torch.linspace(0, total - 1, n_sample).long()
    index = (chosen // sizes[axes[1]], chosen % sizes[axes[1]])
    cells = pd.DataFrame({axis: at.tolist() for axis, at in zip(axes, index, strict=True)})
    with torch.inference_mode():
        names = [f"blocks.{i}.{'attn.hook_z' if site == 'z' else 'hook_resid_pre'}"
                 for i in range(model.config.n_layers)]  # fmt: skip
        _, cache = bridge.run_with_cache(  # type: ignore[attr-defined]
            task.clean_tokens, names_filter=lambda hook: hook in names
        )
    settings = {key: value for key, value in sweep.keywords.items() if key != "index_axis_names"}

    def loop() -> Tensor:
        with torch.inference_mode():
            return sweep.func(
                bridge, task.corrupted_tokens, cache, partial(logit_diff, task),
                index_df=cells, **settings,
            )  # fmt: skip

    return Row(
        name, len(task), lambda: mean(patch(model, task, site)), loop, index, n_sample / total, goal
    )


def path_row(
    name: str,
    model: interp.HookedGPT2,
    bridge: object,
    task: Task,
    receivers: Receivers,
    layers: int,
    n_sample: int,
    goal: float,
) -> Row:
    """Every head of the first layers to some receivers, against plain hooks."""
    n_heads = model.config.n_heads
    chosen = torch.linspace(0, layers * n_heads - 1, n_sample).long()
    index = (chosen // n_heads, chosen % n_heads)
    places = {
        f"blocks.{layer}.attn.hook_{receivers.site}": heads
        for layer, heads in receivers.by_layer.items()
    }

    def ours() -> Tensor:
        return mean(path_patch(model, task, receivers, Selection(layers=list(range(layers)))))

    def by_hooks(runs: Any) -> Callable[[], Tensor]:
        one = _SenderByHooks(runs, model.config.n_layers, task, places)
        return lambda: torch.stack([one(int(i), int(h)) for i, h in zip(*index, strict=True)])

    share = n_sample / (layers * n_heads)
    return Row(name, len(task), ours, by_hooks(bridge), index, share, goal, by_hooks(model))


class _SenderByHooks:
    """Path patching of one head at a time by hooks that freeze, listen and put.

    Args:
        model: ours or TransformerLens's bridge.
        n_layers: number of layers.
        task: clean prompts with corrupted partners.
        places: hook point -> receiving heads; none for the logits.
    """

    def __init__(
        self, model: Any, n_layers: int, task: Task, places: Mapping[str, Sequence[int]]
    ) -> None:
        self.model, self.task, self.places = model, task, places
        self.outputs = [f"blocks.{layer}.attn.hook_z" for layer in range(n_layers)]
        with torch.inference_mode():
            self.clean, self.corrupted = (
                model.run_with_cache(tokens, names_filter=lambda name: name in self.outputs)[1]
                for tokens in (task.clean_tokens, task.corrupted_tokens)
            )

    @torch.inference_mode()
    def __call__(self, layer: int, head: int) -> Tensor:
        """The mean logit difference with the paths of one head patched."""
        got: dict[str, Tensor] = {}

        def freeze(name: str, z: Tensor, hook: Any) -> Tensor:
            z = self.clean[name].clone()
            if name == self.outputs[layer]:
                z[:, :, head] = self.corrupted[name][:, :, head]
            return z

        def listen(name: str, value: Tensor, hook: Any) -> None:
            got[name] = value

        def put(name: str, value: Tensor, hook: Any) -> Tensor:
            value, heads = value.clone(), self.places[name]
            value[:, :, heads] = got[name][:, :, heads]
            return value

        def run(*hooks: tuple[Callable, Iterable[str]]) -> Tensor:
            each = [(name, partial(do, name)) for do, names in hooks for name in names]
            return self.model.run_with_hooks(self.task.clean_tokens, fwd_hooks=each)

        logits = run((freeze, self.outputs), (listen, self.places))
        if self.places:
            logits = run((put, self.places))
        return logit_diff(self.task, logits)


def all_rows(
    model: interp.HookedGPT2, bridge: object, tasks: Sequence[Task], n_sample: int
) -> list[Row]:
    """Every comparison that has a goal; goals are for many prompts and for few."""
    n_layers, rows = model.config.n_layers, []
    heads, stream = (
        theirs.get_act_patch_attn_head_out_all_pos, theirs.get_act_patch_resid_pre
    )  # fmt: skip
    for task, head_goal, stream_goal in zip(tasks, (6, 10), (8, 14), strict=True):
        rows += [
            patching_row(
                "heads (z), all positions", model, bridge, task, "z", heads,
                ("layer", "head_index"), n_sample, head_goal,
            ),
            patching_row(
                "resid_pre, layer x position", model, bridge, task, "resid_pre", stream,
                ("layer", "pos"), n_sample, stream_goal,
            ),
        ]  # fmt: skip
    upper = {n_layers - 3: [0, 1], n_layers - 2: [0]}  # as name movers lie in GPT-2 small
    middle = {n_layers // 2: [0, 1], n_layers // 2 + 1: [0]}
    places = (("q", upper), ("k", middle), ("v", middle))
    rows.append(
        path_row(
            "all heads to the logits", model, bridge, tasks[0], Receivers(), n_layers, n_sample, 60
        )
    )
    for site, by_layer in places:
        receivers = Receivers(site, heads=[(i, h) for i, hs in by_layer.items() for h in hs])
        name = f"heads to {site} of {len(receivers.heads)} heads"
        layers, some = max(by_layer), min(n_sample, 8)
        rows.append(path_row(name, model, bridge, tasks[0], receivers, layers, some, 10))
    return rows
