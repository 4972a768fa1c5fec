"""What circuits refuse: (id, call with the fixtures, error class, words in the message)."""

from interp.circuits import (
    Circuit,
    Derivation,
    Link,
    Member,
    compare,
    completeness,
    derive,
    derive_pruned,
    faithfulness,
    gap,
    greedy_sets,
    known_circuit,
    minimality,
    minimality_sets,
    only,
    prune_heads,
    published_circuit,
    random_sets,
)

MEMBERS = (Member("4.0@END", "name mover"), Member("2.1@S2+1", "other"))
MINI = Circuit("mini", MEMBERS)


def _file(kind, text):
    """Load a file with some content."""

    def call(given):
        path = given["tmp_path"] / "file.json"
        path.write_text(text)
        return kind.load(path)

    return call


def _run(function, *arguments, **options):
    return lambda given: function(given["mini"], given["task"], *arguments, **options)


ROWS = [
    (
        "faithfulness of another model's circuit",
        _run(faithfulness, published_circuit("ioi", "gpt2")),
        ValueError,
        ("'gpt2'", "'mini'", "for_model"),
    ),
    (
        "a circuit of other weights",
        _run(faithfulness, Circuit("mini", MEMBERS, weights="0" * 16)),
        ValueError,
        "same name has weights",
    ),
    (
        "only of another model's circuit",
        lambda given: only(given["mini"], published_circuit("ioi", "gpt2")),
        ValueError,
        "for_model",
    ),
    (
        "carrying over heads that are not there",
        lambda given: published_circuit("ioi", "gpt2").for_model(given["mini"]),
        ValueError,
        "mini has no Head",
    ),
    (
        "a circuit with a head outside the model",
        _run(faithfulness, Circuit("mini", [Member("40.0@END", "other")])),
        ValueError,
        "no Head 40.0",
    ),
    (
        "a circuit with a role of another task",
        _run(faithfulness, Circuit("mini", [Member("4.0@YY", "mover")])),
        ValueError,
        "'YY'",
    ),
    (
        "faithfulness with an unknown metric",
        _run(faithfulness, MINI, metrics="logit_dif"),
        ValueError,
        "logit_diff",
    ),
    ("completeness without sets", _run(completeness, MINI, {}), ValueError, "no sets"),
    (
        "completeness without a node that the circuit lacks",
        _run(completeness, MINI, {"K": ["4.1@END"]}),
        ValueError,
        "4.1@END",
    ),
    (
        "completeness with a node without a role",
        _run(completeness, MINI, {"K": ["4.0"]}),
        ValueError,
        "needs a role",
    ),
    (
        "minimality of a node that is not there",
        _run(minimality, MINI, {"4.0@S2": []}),
        ValueError,
        "4.0@END",
    ),
    (
        "minimality with a node in its own K",
        _run(minimality, MINI, {"4.0@END": ["4.0@END"]}),
        ValueError,
        "itself",
    ),
    (
        "an order of importance with repeats",
        lambda given: minimality_sets(MINI, importance=["4.0", (4, 0)]),
        ValueError,
        "twice",
    ),
    (
        "an exception of an unknown class",
        lambda given: minimality_sets(MINI, exceptions={"4.0": ["names"]}),
        ValueError,
        "unknown class 'names'",
    ),
    ("greedy sets of nothing", _run(greedy_sets, Circuit("mini", ())), ValueError, "0 heads"),
    ("greedy sets without a run", _run(greedy_sets, MINI, runs=0), ValueError, "at least one run"),
    (
        "less than no random sets",
        lambda given: random_sets(MINI, -1),
        ValueError,
        "a number of sets",
    ),
    (
        "a gap of one run",
        lambda given: gap(faithfulness(given["mini"], given["task"], MINI).sel(run=["full"])),
        ValueError,
        "two runs",
    ),
    ("pruning at no threshold", _run(prune_heads, threshold=0.0), ValueError, "positive"),
    (
        "pruning by a metric that is zero",
        _run(prune_heads, metrics="kl_divergence"),
        ValueError,
        "not 0",
    ),
    ("pruning at a role that is not there", _run(prune_heads, positions=["YY"]), ValueError, "YY"),
    (
        "pruning and deriving at a threshold above 1",
        _run(derive_pruned, threshold=2.0),
        ValueError,
        "between 0 and 1",
    ),
    ("a derivation of everything", _run(derive, smallest=0.0), ValueError, "between 0 and 1"),
    (
        "a derivation from one prompt",
        lambda given: derive(given["mini"], given["task"][0]),
        ValueError,
        "at least 2",
    ),
    ("a derivation of MLPs", _run(derive, nodes=["m1@END"]), ValueError, "heads at roles"),
    (
        "a derivation of heads without roles",
        _run(derive, nodes=[(4, 0)]),
        ValueError,
        "needs a role",
    ),
    (
        "a derivation with an ablation and no nodes",
        lambda given: derive(
            given["mini"], given["task"], ablation=only(given["mini"], ["4.0@END"])
        ),
        ValueError,
        "pass nodes=",
    ),
    (
        "comparing circuits of two models",
        lambda given: compare(MINI, published_circuit("ioi", "gpt2")),
        ValueError,
        "one model and one task",
    ),
    (
        "comparing circuits of two tasks",
        lambda given: compare(
            published_circuit("acronym", "gpt2"), published_circuit("ioi", "gpt2")
        ),
        ValueError,
        "one model and one task",
    ),
    (
        "a member of no class",
        lambda given: Member("9.6@END", "mouver"),
        ValueError,
        "unknown class 'mouver'",
    ),
    ("a member without a role", lambda given: Member("9.6", "other"), ValueError, "at a role"),
    ("a member twice", lambda given: Circuit("m", MEMBERS * 2), ValueError, "given twice"),
    (
        "a link from outside",
        lambda given: Circuit("m", MEMBERS, links=[Link("3.0@END -> 4.0.q@END")]),
        ValueError,
        "3.0@END, which is not in the circuit",
    ),
    (
        "a link back in the model",
        lambda given: Link("4.0@END -> 3.0.q@END"),
        ValueError,
        "does not write into",
    ),
    (
        "a link from one role's queries to another's",
        lambda given: Link("3.0@S2 -> 4.0.q@END"),
        ValueError,
        "changes position",
    ),
    ("a circuit file of another kind", _file(Circuit, "{}"), ValueError, "interp.Circuit"),
    (
        "a circuit file of a later version",
        _file(Circuit, '{"format": "interp.Circuit", "version": 99}'),
        ValueError,
        "version 99",
    ),
    ("a circuit file that is no JSON", _file(Circuit, "9.6"), ValueError, "interp.Circuit"),
    ("a derivation file that is empty", _file(Derivation, ""), ValueError, "holds JSON"),
    (
        "a derivation file that is a circuit",
        _file(Derivation, MINI.to_json()),
        ValueError,
        "interp.Derivation",
    ),
    (
        "a published circuit that there is not",
        lambda given: published_circuit("ioi", "mini"),
        KeyError,
        "'gpt2'",
    ),
    ("a known circuit that there is not", lambda given: known_circuit("x"), ValueError, "ioi"),
]
