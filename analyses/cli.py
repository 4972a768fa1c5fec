"""The `interp` command: one subcommand per analysis, imported when it is called."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from analyses.common.choices import did_you_mean
from analyses.common.shell import SETTINGS, command

COMMANDS = {
    "ioi": ("ioi.analysis", "Indirect object identification: the paper, section by section."),
    "task": ("task", "Other tasks: greater-than, induction, pronoun, agreement."),
    "activation-patching": ("activation_patching", "Patch every layer, role, head and token."),
    "path-patching": ("path_patching", "Paths from heads to the logits and to other heads."),
    "head-ablation": ("head_ablation", "Ablate heads and pairs of them; find backups."),
    "attribution-patching": (
        "attribution_patching",
        "Gradient estimates of patching, and how well they agree.",
    ),
    "logit-lens": ("logit_lens", "What the model would predict at each layer."),
    "tuned-lens": ("tuned_lens", "Translators for each layer, against the plain logit lens."),
    "direct-logit-attribution": (
        "direct_logit_attribution",
        "Which component, head, token and neuron writes the answer.",
    ),
    "attention": ("attention", "Where every head looks in a text, as interactive pages."),
    "head-scores": ("head_scores", "Where every head looks and what it copies."),
    "composition": ("composition", "Which heads read which, from the weights alone."),
    "known-circuits": ("known_circuits", "Derive circuits that were set by hand, with noise."),
    "verify": ("verify", "Compare a model with transformers' own GPT-2."),
}
"""Command -> its module in `analyses`, and its line in the list of commands."""


class _Commands(TyperGroup):
    """Commands by name, imported only when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            if hint := did_you_mean(cmd_name, COMMANDS):
                ctx.fail(f"No such command {cmd_name!r}{hint}.")
            return None
        module = import_module(f"analyses.{COMMANDS[cmd_name][0]}")
        views, debug = getattr(module, "VIEWS", ()), bool(ctx.params.get("debug"))
        one = typer.Typer(**SETTINGS)
        one.command(cmd_name)(command(module.main, views=views, debug=debug))
        return typer.main.get_command(one)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


app = typer.Typer(cls=_Commands, no_args_is_help=True, **SETTINGS)


@app.callback()
def _commands(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Open GPT-2: run the analyses of interp."""


if __name__ == "__main__":
    app()
