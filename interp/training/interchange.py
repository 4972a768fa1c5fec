"""Strict interchange intervention training: make named parts of a model compute named variables.

A `Program` says how the answer follows from a prompt by way of variables ("which name is repeated",
"the name to write"); `Cut`s say which parts of the model carry which of them. An interchange
intervention runs the model on a base prompt while the sites of a cut take the values that they have
on a source prompt. If the sites carry the variable, and nothing else does, the model's answer is
that of the program run on the base with the variable's value from the source. Three losses ask
for it, each a divergence KL(program || model) of the next token at END, in nats:

    behavior      on the base, nothing changed
    interchange   on the base, the sites of one cut changed; the program's variables too
    strict        on the base, heads outside the circuit changed; the program's answer stays

The last is what makes it strict: nodes that no cut names must not matter. Here a head belongs to
the circuit at its roles alone, and everywhere else it is as free to change as any other head; a
part of the interchange interventions also has all of these changed at once, as in an evaluation of
the circuit alone. MLPs are left to themselves, as in Wang et al. 2022. Gradients go through the
source runs too.

Source: Geiger et al. 2022, "Inducing Causal Structure for Interpretable Neural Networks" (arXiv
2112.00826), for the interchange loss; Gupta et al. 2024, "InterpBench" (arXiv 2407.14494), section
3, for the strict one and for the sum of three. Where we differ: InterpBench takes one node of the
program, or one node outside, in each step, a hook on the output of a head at all positions, and a
step of the optimizer for each of the three losses. We take one cut for each row; sites stand at
roles and may be queries, keys and values, which says by which edge a variable travels; some sites
of a cut can be silenced, so that each of two redundant parts has to do alone; and others can be
held, so that a variable must not travel around them.

The file is longer than most: the program, the cuts and the runs that compare them are one idea.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2

Kind = Literal["q", "k", "v", "z"]
Values = Mapping[str, Int[Tensor, " row"]]
Key = tuple[str, int]  # a hook point of attention, "q", "k", "v" or "z", and a layer
Cache = dict[Key, Tensor]


@dataclass(frozen=True, order=True)
class Site:
    """One activation of one head at one role.

    Args:
        layer: its layer.
        head: its index in the layer.
        role: the position, by its name in `Prompts.positions`.
        kind: the head's output "z" or one of its inputs "q", "k", "v".

    Example:
        >>> Site.parse("5.0.q@END")
        Site(layer=5, head=0, role='END', kind='q')
    """

    layer: int
    head: int
    role: str
    kind: Kind = "z"

    def __str__(self) -> str:
        """Write the site as `parse` reads it."""
        kind = "" if self.kind == "z" else f".{self.kind}"
        return f"{self.layer}.{self.head}{kind}@{self.role}"

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read "5.0.q@END", or "5.0@END" for the head's output.

        Args:
            text: layer, head, if wanted the kind, and the role.

        Returns:
            The site.

        Raises:
            ValueError: the text has another form.
        """
        where, _, role = text.partition("@")
        numbers, letter = where.split("."), "z"
        if len(numbers) == 3:
            letter = numbers.pop()
        kinds = [kind for kind in get_args(Kind) if kind == letter]
        if not role or not kinds or [n.isdigit() for n in numbers] != [True] * 2:
            raise ValueError(f'expected a site such as "5.0@END" or "5.0.q@END", got {text!r}')
        return cls(int(numbers[0]), int(numbers[1]), role, kinds[0])


def sites(text: str) -> tuple[Site, ...]:
    """Read several sites, with spaces between them.

    Example:
        >>> [site.kind for site in sites("3.1.k@S2 3.1.v@S2 5.0@END")]
        ['k', 'v', 'z']
    """
    return tuple(map(Site.parse, text.split()))


@dataclass(frozen=True)
class Program:
    """How the answer of a task follows from its inputs, by way of named variables.

    Args:
        variables: for each variable, in the order of computation, its function of the inputs and
            earlier variables, which are a tensor over rows each.
        answer: (values, d_vocab) -> the distribution of the next token [row d_vocab].

    Example:
        >>> program = Program(
        ...     {"sum": lambda x: x["a"] + x["b"], "double": lambda x: 2 * x["sum"]},
        ...     lambda x, d_vocab: torch.nn.functional.one_hot(x["double"], d_vocab).float(),
        ... )
        >>> a, b = torch.tensor([1]), torch.tensor([2])
        >>> program({"a": a, "b": b})["double"].item()
        6
        >>> program({"a": a, "b": b}, {"sum": torch.tensor([5])})["double"].item()
        10
    """

    variables: Mapping[str, Callable[[Values], Int[Tensor, " row"]]]
    answer: Callable[[Values, int], Float[Tensor, "row d_vocab"]]

    def __call__(self, inputs: Values, setting: Values | None = None) -> dict[str, Tensor]:
        """Run the program.

        Args:
            inputs: the prompt, as the program sees it.
            setting: values of variables that are set from outside and not computed.

        Returns:
            Every input and variable.
        """
        values, setting = dict(inputs), setting or {}
        for name, function in self.variables.items():
            values[name] = setting[name] if name in setting else function(values)
        return values


@dataclass(frozen=True)
class Cut:
    """Sites that together carry variables of the program: where an interchange is made.

    Args:
        variables: what is set to its value on the source.
        sites: what takes its value from the source run.
        silenced: what takes its value from the run on the other prompt, so that `sites` have to do
            without it; on the other prompt it must say nothing (no name is repeated there).
        held: what keeps its value of the clean run on the base: the way that is closed. Where it
            is all ways, `variables` is empty: the answer must stay.
        weight: how often the cut is drawn, relative to the others.
    """

    variables: tuple[str, ...]
    sites: tuple[Site, ...]
    silenced: tuple[Site, ...] = ()
    held: tuple[Site, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Prompts:
    """Rows of tokens with what the program knows of them.

    Args:
        tokens: token ids; base, source and other prompts of a row have the same length.
        mask: True at real tokens, which start at position 0.
        positions: for each role its position in each row; "END" is the last token.
        inputs: of the program.
        group: number of the group of each row, counted from 0; rows of one group have the same
            length and roles at the same positions, so that activations can be averaged over them.
    """

    tokens: Int[Tensor, "row pos"]
    mask: Bool[Tensor, "row pos"]
    positions: Mapping[str, Int[Tensor, " row"]]
    inputs: Values = field(default_factory=dict)
    group: Int[Tensor, " row"] | None = None

    def to(self, device: str | torch.device) -> "Prompts":
        """The same on another device."""
        return Prompts(
            self.tokens.to(device),
            self.mask.to(device),
            {role: at.to(device) for role, at in self.positions.items()},
            {name: value.to(device) for name, value in self.inputs.items()},
            None if self.group is None else self.group.to(device),
        )


def strict_interchange_losses(
    model: HookedGPT2,
    program: Program,
    cuts: Sequence[Cut],
    circuit: Sequence[Site],
    base: Prompts,
    source: Prompts,
    other: Prompts,
    *,
    rng: Random,
    share: float = 0.1,
    alone: float = 0.0,
    mean: float = 0.0,
) -> dict[str, Float[Tensor, ""]]:
    """The three losses of strict interchange intervention training.

    Args:
        model: the model.
        program: what it shall do.
        cuts: which of its parts carry which variables.
        circuit: outputs of heads (kind "z") at their roles; every head elsewhere is outside.
        base: prompts that the model answers.
        source: prompts that variables take their values from; row by row as long as `base`.
        other: prompts that silenced sites and those outside take their values from.
        rng: draws a cut for each row, and which heads change for the strict loss.
        share: probability that a head outside changes in a row of the strict run.
        alone: fraction of rows of the interchange run, and of the strict one, in which all that is
            outside changes.
        mean: fraction of rows in which what changes outside takes not its value on one other prompt
            but the mean over the other prompts of the row's group, as in mean ablation.

    Returns:
        "behavior", "interchange" and "strict", in nats, each a mean over rows. All are 0 for a
        model that does what the program says, by the parts that the cuts name, without a doubt.

    Raises:
        ValueError: prompts of different shapes, or a site that model or prompts do not have.
    """
    _check(model, cuts, circuit, (base, source, other))
    n = len(base.tokens)
    keys = _keys(model, cuts)
    last, cache = _run(model, _stack([base, source, other]), keys, {})
    logits = _logits(model, last[:n], base)
    caches = [{key: x[i * n : (i + 1) * n] for key, x in cache.items()} for i in range(3)]
    is_mean = torch.tensor([rng.random() < mean for _ in range(n)], device=logits.device)
    if mean > 0:
        caches[2] = {key: _averaged(x, other, is_mean) for key, x in caches[2].items()}
    clean = program(base.inputs)

    choice = rng.choices(range(len(cuts)), [cut.weight for cut in cuts], k=n)
    is_alone = torch.tensor([rng.random() < alone for _ in range(n)], device=logits.device)
    outside = ~_at(model, circuit, base)["z"]  # layer row pos head
    edits = _Edits(model, base, caches)
    edits.others(outside & is_alone[:, None, None])
    changed = program(source.inputs)
    answers = program.answer(clean, model.config.d_vocab)
    for i, cut in enumerate(cuts):
        rows = torch.tensor([c == i for c in choice], device=logits.device)
        if rows.any():
            edits.cut(cut, rows)
            setting = {name: changed[name] for name in cut.variables}
            new = program.answer(program(base.inputs, setting), model.config.d_vocab)
            answers = torch.where(rows[:, None], new, answers)
    last, _ = _run(model, base, (), edits.final())
    interchanged = _logits(model, last, base)

    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    some = torch.rand(*outside.shape[:2], 1, outside.shape[3], generator=generator) < share
    whole = torch.tensor([rng.random() < alone for _ in range(n)])[:, None, None]
    edits = _Edits(model, base, caches)
    edits.others(outside & (some | whole).to(outside.device))
    last, _ = _run(model, base, (), edits.final())
    target = program.answer(clean, model.config.d_vocab)
    return {
        "behavior": _divergence(target, logits),
        "interchange": _divergence(answers, interchanged),
        "strict": _divergence(target, _logits(model, last, base)),
    }


@torch.no_grad()
def interchange_accuracy(
    model: HookedGPT2,
    program: Program,
    cut: Cut,
    base: Prompts,
    source: Prompts,
    other: Prompts,
    *,
    circuit: Sequence[Site] | None = None,
) -> float:
    """How often the model's top token after an interchange is one that the program allows.

    Args:
        model: the model.
        program: what it shall do.
        cut: the intervention.
        base: prompts that the model answers.
        source: prompts that the variables take their values from.
        other: prompts that silenced sites take their values from, and all that is outside.
        circuit: if given, all outside of it changes too.

    Returns:
        The fraction of rows whose top token is one that the program gives the highest probability.

    Raises:
        ValueError: prompts of different shapes, or a site that model or prompts do not have.

    Source: Geiger et al. 2022, section 2 (interchange intervention accuracy).
    """
    _check(model, [cut], circuit or (), (base, source, other))
    n = len(base.tokens)
    _, cache = _run(model, _stack([base, source, other]), _keys(model, [cut]), {})
    parts = [{key: x[i * n : (i + 1) * n] for key, x in cache.items()} for i in range(3)]
    edits = _Edits(model, base, parts)
    if circuit is not None:
        edits.others(~_at(model, circuit, base)["z"])
    edits.cut(cut, torch.ones(n, dtype=torch.bool, device=base.tokens.device))
    last, _ = _run(model, base, (), edits.final())
    changed = program(source.inputs)
    values = program(base.inputs, {name: changed[name] for name in cut.variables})
    target = program.answer(values, model.config.d_vocab)
    top = _logits(model, last, base).argmax(-1)
    allowed = target >= target.max(-1, keepdim=True).values
    return float(allowed[torch.arange(n), top].float().mean())


def _averaged(
    x: Float[Tensor, "row pos head d_head"], prompts: Prompts, rows: Bool[Tensor, " row"]
) -> Float[Tensor, "row pos head d_head"]:
    """In some rows the mean over the rows of their group."""
    group = torch.zeros_like(rows, dtype=torch.long) if prompts.group is None else prompts.group
    same = (group[:, None] == group[None]).to(x.dtype)
    means = torch.einsum("r s, s ... -> r ...", same / same.sum(-1, keepdim=True), x)
    return torch.where(rows[:, None, None, None], means, x)


class _Edits:
    """What replaces what in a run: masks and values by kind and layer, later over earlier."""

    def __init__(self, model: HookedGPT2, base: Prompts, caches: Sequence[Cache]) -> None:
        self.model, self.base = model, base
        self.clean, self.source, self.other = caches
        self._edits: dict[Key, list[tuple[Tensor, Tensor]]] = {}

    def others(self, where: Bool[Tensor, "layer row pos head"]) -> None:
        """Outputs of heads from the other prompts."""
        for layer, mask in enumerate(where):
            self._edits.setdefault(("z", layer), []).append((mask, self.other["z", layer]))

    def cut(self, cut: Cut, rows: Bool[Tensor, " row"]) -> None:
        """A cut in some rows."""
        parts = ((cut.silenced, self.other), (cut.sites, self.source), (cut.held, self.clean))
        for some, cache in parts:
            for kind, mask in _at(self.model, some, self.base).items():
                for layer in range(len(mask)):
                    if any(site.layer == layer and site.kind == kind for site in some):
                        edit = mask[layer] & rows[:, None, None], cache[kind, layer]
                        self._edits.setdefault((kind, layer), []).append(edit)

    def final(self) -> dict[Key, list[tuple[Tensor, Tensor]]]:
        """All of them."""
        return self._edits


def _keys(model: HookedGPT2, cuts: Sequence[Cut]) -> list[Key]:
    """What has to be kept of the runs: the sites of cuts, and every head's output."""
    kept: dict[Key, None] = {("z", i): None for i in range(model.config.n_layers)}
    for cut in cuts:
        for site in (*cut.sites, *cut.silenced, *cut.held):
            kept[site.kind, site.layer] = None
    return list(kept)


def _run(
    model: HookedGPT2,
    prompts: Prompts,
    keep: Sequence[Key],
    edits: Mapping[Key, Sequence[tuple[Tensor, Tensor]]],
) -> tuple[Float[Tensor, "row pos d_model"], Cache]:
    """The stream after the last block, and what was kept."""
    cache: Cache = {}

    def changed(key: Key) -> Callable[..., Tensor]:
        def hook(x: Tensor, hook: object) -> Tensor:
            for mask, value in edits.get(key, ()):
                x = torch.where(mask[..., None], value, x)
            if key in keep:
                cache[key] = x
            return x

        return hook

    keys = dict.fromkeys((*keep, *edits))
    hooks = [(f"blocks.{layer}.attn.hook_{kind}", changed((kind, layer))) for kind, layer in keys]
    with model.hooks(fwd_hooks=hooks):
        last = model(prompts.tokens, prompts.mask, stop_at_layer=model.config.n_layers)
    return last, cache


def _logits(
    model: HookedGPT2, last: Float[Tensor, "row pos d_model"], prompts: Prompts
) -> Float[Tensor, "row d_vocab"]:
    """Logits of the next token at END."""
    rows = torch.arange(len(last), device=last.device)
    return model.unembed(model.ln_final(last[rows, prompts.positions["END"]]))


def _divergence(
    target: Float[Tensor, "row d_vocab"], logits: Float[Tensor, "row d_vocab"]
) -> Float[Tensor, ""]:
    """KL(target || model), a mean over rows."""
    return torch.nn.functional.kl_div(
        logits.log_softmax(-1), target.to(logits.dtype), reduction="batchmean"
    )


def _at(
    model: HookedGPT2, some: Sequence[Site], prompts: Prompts
) -> dict[Kind, Bool[Tensor, "layer row pos head"]]:
    """Where sites are, by kind; "z" is always there."""
    n, length = prompts.tokens.shape
    shape = (model.config.n_layers, n, length, model.config.n_heads)
    rows = torch.arange(n, device=prompts.tokens.device)
    kinds: dict[Kind, None] = {"z": None, **{site.kind: None for site in some}}
    masks: dict[Kind, Tensor] = {kind: rows.new_zeros(shape, dtype=torch.bool) for kind in kinds}
    for site in some:
        masks[site.kind][site.layer, rows, prompts.positions[site.role], site.head] = True
    return masks


def _stack(parts: Sequence[Prompts]) -> Prompts:
    """The rows of several prompts, one after the other."""
    return Prompts(
        torch.cat([part.tokens for part in parts]), torch.cat([part.mask for part in parts]), {}
    )


def _check(
    model: HookedGPT2, cuts: Sequence[Cut], circuit: Sequence[Site], prompts: Sequence[Prompts]
) -> None:
    base = prompts[0]
    for part in prompts:
        if part.tokens.shape != base.tokens.shape or not torch.equal(part.mask, base.mask):
            raise ValueError(
                "base, source and other prompts must have the same lengths row by row, got tokens "
                f"{tuple(base.tokens.shape)} and {tuple(part.tokens.shape)}; draw the three from "
                "one template"
            )
    named = [s for cut in cuts for s in (*cut.sites, *cut.silenced, *cut.held)]
    for site in (*named, *circuit):
        if site.layer >= model.config.n_layers or site.head >= model.config.n_heads:
            raise ValueError(
                f"{model.name} has {model.config.n_layers} layers of {model.config.n_heads} heads, "
                f"and no head {site.layer}.{site.head}"
            )
        if site.role not in base.positions:
            raise ValueError(
                f"the prompts have no role {site.role!r}; they have {', '.join(base.positions)}"
            )
    if any(site.kind != "z" for site in circuit):
        raise ValueError("the circuit is made of outputs of heads; leave .q, .k and .v out")
