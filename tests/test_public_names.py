"""The public names, pinned: who adds or removes one says so here."""

import ast
import importlib
import pkgutil
from itertools import pairwise
from pathlib import Path

import pytest

import interp

TABLE = """
interp
    AttentionWeights GPT2Config HookedGPT2 KeyValueCache VerificationReport generate load
    load_attention next_tokens process_weights sample save stream verify
interp.circuits
    CLASSES Circuit Derivation EdgeCircuit EdgeScores FRACTIONS Graph Link Member Overlap
    RolesWarning Verdict auc class_sets cmd compare completeness consistent_edges
    covered_by_roles cpr derive derive_pruned does_the_task edge_curve edge_faithfulness
    edges_above faithfulness faithfulness_by_prompt fraction_kept gap greedy_edges
    greedy_sets head_scores known_circuit left_out minimality minimality_sets
    normalized_faithfulness only overlap prune_heads published_circuit random_circuits
    random_sets rank_correlation read_eap_ig roc route run_mean top_edges why_left_out
    write_eap_ig
interp.circuits.discovery
    Cost clean_corrupted eap eap_ig_activations eap_ig_inputs exact_cost exact_edges
interp.circuits.known
    KNOWN KnownCircuit NOISE known_circuit trained_circuit
interp.circuits.published
    IOI_EXCEPTIONS IOI_FIGURES IOI_GREEDY IOI_IMPORTANCE published_circuit
    published_connections
interp.execution
    Results Store load save
interp.heads
    attention_between attention_flow attention_patterns attention_projection
    attention_rollout attention_scores composition_pairs composition_scores copy_scores
    correlation eigenvalue_scores head_table next_token_projection ov_directions ov_matrices
    ov_ranks position_similarity position_spectrum qk_directions qk_matrices
    random_composition ranked repeated_random_tokens sharpest_heads strongest_senders
    value_weighted
interp.lens
    TunedLens compare_lenses cumulative direct_logit_attribution logit_lens text_batches
    tune
interp.metrics
    BEHAVIOR METRICS accuracy answer_logit cutoff_sharpness end_logits foil_logit
    kl_divergence logit_diff probability probability_diff rank top1
interp.model
    AttentionWeights GPT2Config HookedGPT2 KeyValueCache generate load load_attention
    next_tokens process_weights sample save stream
interp.parts
    Edge Head Input Logits MLP Neuron Node Port parse
interp.patching
    Ablation NodePaths Receivers Selection ablate agreement attribution_patch contribution
    effect heads_in_order mean_effect mean_over_prompts measure normalized pairs patch
    path_attention path_patch run_task screen strongest_heads
interp.plots
    AttentionView agreement_scatter attention_arcs attention_grid attention_heatmap
    attention_scatter attribution_bars circuit_dot circuit_graphml circuit_html
    circuit_mermaid circuit_png circuit_svg completeness_scatter composition_heatmap
    effect_heatmap effect_ranking example_of head_heatmap lens_heatmap lens_lines
    position_labels recovery_lines shared_limit similarity_heatmap spectrum_lines to_networkx
interp.report
    Download Drawing Figure Item Report Section Table
interp.results
    Question require_same versions
interp.statistics
    Estimate estimate_mean estimate_ratio interval widened within_fractions
interp.tasks
    Task acronym agreement balanced from_table greater_than induction ioi named_again
    pronoun signal_variants with_beginning
interp.training
    Batches TrainingConfig TrainingStep learning_rate make_optimizer next_token_loss
    pooled_ids repeated_ids returning_ids train validation_loss
interp.training.mini
    Cloze Guidance Score Sentences document guided_loss held_out_scores single_token_words start
    train_tokenizer
"""

PUBLIC: dict[str, list[str]] = {}
"""Package or module -> the names that it offers."""
for line in TABLE.split("\n"):
    if line.startswith(" "):
        PUBLIC[package] += line.split()
    elif line:
        PUBLIC[package := line] = []

INTERNAL = {
    "interp.characters",
    "interp.circuits.published.data",
    "interp.plots.attention",
    "interp.plots.diagram",
    "interp.runs",
    "interp.table_files",
    "interp.verification",
}
"""Packages, and modules right below `interp`, whose names are public nowhere or elsewhere."""


def packages():
    """Every package, and every module right below `interp`."""
    found = pkgutil.walk_packages(interp.__path__, "interp.")
    return {one.name for one in found if one.ispkg or one.name.count(".") == 1} | {"interp"}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_these(package):
    names = importlib.import_module(package).__all__
    assert sorted(names) == PUBLIC[package]


def test_nothing_else_is_public():
    assert packages() == set(PUBLIC) | INTERNAL
    assert not [one for one in INTERNAL if hasattr(importlib.import_module(one), "__all__")]
    assert set(dir(interp)) == {
        *PUBLIC["interp"],
        *(name.split(".")[1] for name in PUBLIC if name.count(".") == 1),
    }


def documented_constants(package):
    """The names that are assigned in the modules of a package and described right below."""
    folder = Path(interp.__path__[0]).joinpath(*package.split(".")[1:])
    files = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    for file in files:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for one, after in pairwise(body):
            if isinstance(one, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                targets = one.targets if isinstance(one, ast.Assign) else [one.target]
                if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                    yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_says_what_it_is(package):
    module = importlib.import_module(package)
    assert module.__doc__
    constants = set(
        documented_constants("interp.tasks" if package == "interp.metrics" else package)
    )
    for name in PUBLIC[package]:
        value = getattr(module, name)
        if isinstance(value, type) or callable(value):
            assert value.__doc__ and not value.__doc__.startswith(f"{name}("), name
        else:
            assert name in constants, name
