"""What head scores refuse: (id, call with the fixtures, error class, words in the message)."""

from interp import heads

TEXT = " Mary and John met"


def _task(function, **options):
    return lambda given: function(given["mini"], given["task"], **options)


def _text(function, prompt=TEXT, **options):
    return lambda given: function(given["mini"], prompt, **options)


def _model(function, *args, **options):
    return lambda given: function(given["mini"], *args, **options)


def _patterns(function, **options):
    return lambda given: function(heads.attention_patterns(given["mini"], TEXT), **options)


def _table(*args, **options):
    return lambda given: heads.ranked(heads.head_table(given["mini"]), *args, **options)


ROWS = [
    ("patterns of an empty text", _text(heads.attention_patterns, ""), ValueError, "empty"),
    ("patterns of no ids", _text(heads.attention_patterns, []), ValueError, "at least one token"),
    ("patterns of a long text", _text(heads.attention_patterns, " a" * 500), ValueError, "128"),
    ("patterns of ids outside", _text(heads.attention_patterns, [10**6]), ValueError, "d_vocab"),
    ("no sharpest head", _patterns(heads.sharpest_heads, n=0), ValueError, "n must be at least 1"),
    ("flow from no query", _patterns(heads.attention_flow, queries=[]), ValueError, "empty list"),
    ("flow from a query outside", _patterns(heads.attention_flow, queries=[9]), ValueError, "[9]"),
    (
        "flow from a query twice",
        _patterns(heads.attention_flow, queries=[1, 1]),
        ValueError,
        "twice",
    ),
    (
        "rollout of some layers",
        lambda given: heads.attention_rollout(
            heads.attention_patterns(given["mini"], TEXT).sel(layer=[1, 2])
        ),
        ValueError,
        "all layers from 0 on",
    ),
    ("attention between roles of a text", _text(heads.attention_between), TypeError, "ask"),
    (
        "attention from no role",
        _task(heads.attention_between, queries=[]),
        ValueError,
        "queries is an empty list",
    ),
    ("attention from a word", _task(heads.attention_between, keys="END"), TypeError, "be a list"),
    (
        "attention from a role twice",
        _task(heads.attention_between, keys=["IO"] * 2),
        ValueError,
        "IO",
    ),
    (
        "copying at an unknown role",
        _task(heads.copy_scores, roles=["X"]),
        ValueError,
        "no role 'X'",
    ),
    ("copying among the first 0", _task(heads.copy_scores, k=0), ValueError, "k must be from 1"),
    ("projection at a word", _task(heads.attention_projection, roles="IO"), TypeError, "be a list"),
    ("ranks of a token outside", _model(heads.ov_ranks, tokens=[10**6]), ValueError, "d_vocab - 1"),
    ("ranks of no tokens", _model(heads.ov_ranks, tokens=[]), ValueError, "empty list"),
    ("scores of one token", _text(heads.attention_scores, [5]), ValueError, "two tokens or more"),
    (
        "what follows no repetition",
        _text(heads.next_token_projection),
        ValueError,
        "repeats no pair",
    ),
    ("repeats of no length", _model(heads.repeated_random_tokens, length=1), ValueError, "2 to 64"),
    ("directions of no head", _model(heads.ov_directions, "6.0"), ValueError, "no Head 6.0"),
    ("directions of an MLP", _model(heads.qk_directions, "m1"), ValueError, "expected a head"),
    (
        "directions of a number",
        _model(heads.ov_directions, (1, 2, 3)),
        TypeError,
        "expected a node",
    ),
    ("more directions", _model(heads.ov_directions, "1.0", n=99), ValueError, "(d_head)"),
    (
        "composition of no kind",
        _model(heads.composition_scores, kinds=[]),
        ValueError,
        "empty list",
    ),
    ("composition of a word", _model(heads.composition_scores, kinds="qk"), TypeError, "be a list"),
    ("composition of z", _model(heads.composition_scores, kinds=["z"]), ValueError, "q, k, v"),
    ("no rotation", _model(heads.random_composition, samples=0), ValueError, "samples must be"),
    ("ranked by what is not there", _table("love"), ValueError, "no score 'love'"),
    ("none ranked", _table("entropy", n=0), ValueError, "n must be at least 1"),
]
