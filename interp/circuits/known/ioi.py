"""Indirect object identification by hand, in three steps of the paper's circuit.

    duplicate token   at S2 attends to S1, writes which name that is into "duplicated"
    S-inhibition      at END attends to whatever has something in "duplicated", writes the name
                      there into "inhibited"
    name mover        at END attends to names, but not to those in "inhibited", and copies one
    negative name     the same with the sign of its output turned
    mover

The other heads do nothing for the answer: they look where these heads look, but write where nobody
reads, or raise the logits of all names equally.

This is the paper's token signal alone: the inhibited name is identified by the name itself, not by
its position. Hence the tokens at S1 and S2 reach the keys of the name movers, which must know which
name to pass over.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and appendix A, for the classes. The paper's
induction and backup heads are left out.
"""

from interp.circuits.known.byhand import Workbench
from interp.circuits.known.circuits import KnownCircuit, Plan
from interp.circuits.known.words import word_tokenizer
from interp.model import HookedGPT2
from interp.tasks import Task, ioi

NAMES = tuple(["Ada", "Ben", "Cora", "Dan", "Eve", "Finn", "Gail", "Hugo"])
TEMPLATES = (
    "Today [B] and [A] met , and [B] lent a pen to [A]",
    "At noon [B] and [A] ate , then [B] passed the salt to [A]",
    "While [B] and [A] sat at home , [B] read a poem to [A]",
)
_SHARP, _REST = 16.0, 8.0
_INHIBIT = 3.5  # what each S-inhibition head subtracts from the score of a name at the name movers


def build(seed: int) -> tuple[HookedGPT2, Plan]:
    """Build the model and its circuit.

    Args:
        seed: seed of the rotation, and of the places of heads in their layers
    """
    others = {word for template in TEMPLATES for word in template.split() if word[0] != "["}
    tokenizer, n = word_tokenizer([*NAMES, *sorted(others)]), len(NAMES)
    bench = Workbench(
        "ioi by hand",
        tokenizer,
        {
            **dict.fromkeys(("name", "duplicated", "inhibited", "out", "junk"), n),
            "word": len(others),
        },
        n_layers=4,
        n_heads=4,
        d_head=24,
        n_ctx=15,
        seed=seed,
    )
    for space, words in (("name", NAMES), ("word", sorted(others))):
        for i, word in enumerate(words):
            token = tokenizer.convert_tokens_to_ids(word)
            bench.embed(token, space, i)
            if space == "name":
                bench.unembed(token, "out", i, 8.0)

    plan = Plan()
    duplicate = bench.head(0).match("name", "name", _SHARP)
    duplicate.match("position", "position", -2 * _SHARP)  # not itself
    duplicate.look("position", _REST, at=0).move("name", "duplicated")
    inhibition = [
        bench.head(1)
        .look("duplicated", _SHARP)
        .look("position", _REST, at=0)
        .move("duplicated", "inhibited")
        for _ in range(2)
    ]
    movers = [
        bench.head(2).look("name", _SHARP).look("position", _REST, at=0)
        .match("inhibited", "name", -_INHIBIT).move("name", "out", strength)
        for strength in (0.8, 0.5, -0.3)
    ]  # fmt: skip

    first = plan.add([duplicate], "duplicate token", "S2")
    second = plan.add(inhibition, "S-inhibition", "END")
    third = plan.add(movers[:2], "name mover", "END")
    third += plan.add(movers[2:], "negative name mover", "END")
    plan.link(None, "S2", first, "S2", "q")
    plan.link(None, "S1", first, "S2", "kv")
    plan.link(first, "S2", second, "END", "kv")
    plan.link(second, "END", third, "END", "q")
    plan.link(None, "S1", third, "END", "k")
    plan.link(None, "S2", third, "END", "k")
    plan.link(None, "IO", third, "END", "v")
    plan.link(third, "END", None, "END")

    bench.head(0).match("position", "position", _SHARP, back=1).move("name", "junk")
    bench.head(0).look("word", 2.0).move("name", "junk")
    bench.head(1).match("position", "position", _SHARP, back=1).move("name", "junk")
    bench.head(2).look("duplicated", _SHARP).look("position", _REST, at=0).move("inhibited", "junk")
    bench.head(3).look("name", _SHARP).look("position", _REST, at=0).move("name", "junk")
    bench.head(3).look("name", 2.0).raise_all("out", 0.3)
    return bench.model, plan


def draw(model: HookedGPT2, n: int, seed: int) -> Task:
    """Draw prompts with `interp.tasks.ioi`, from the model's own templates and names.

    Args:
        model: the model
        n: number of prompts
        seed: seed of the prompts

    Returns:
        The task, with IOI's roles.
    """
    return ioi(model.tokenizer, n, seed=seed, templates=TEMPLATES, names=NAMES)


def known(n: int, seed: int) -> KnownCircuit:
    """Model, task and circuit."""
    model, plan = build(seed)
    task = draw(model, n, seed)
    return KnownCircuit(model, task, plan.circuit(model, task))
