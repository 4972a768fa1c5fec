"""Bad input to the commands, to `run` of analyses, to reports and to training."""

import json
from dataclasses import replace

import interp
from analyses import (
    activation_patching,
    attention,
    composition,
    head_ablation,
    ioi,
    known_circuits,
    logit_lens,
    path_patching,
    task,
    tuned_lens,
)
from interp.report import Download, Drawing, Table
from interp.training import TrainingConfig


def written(given, name, content):
    """A file with some content, as an argument."""
    path = given["tmp_path"] / name
    path.write_bytes(content)
    return str(path)


HEADER = b"clean,corrupted,answer,foil,S\n"
TEXTS = b"Then Mary met John and,Then Ruth met Lucy and"
ROW = TEXTS + b", Mary, John,Mary\n"


def table(content, *more, command="task", option="--csv"):
    """Arguments that give a file of prompts with this content."""

    def arguments(given):
        file = written(given, "own.table", content)
        return [command, option, file, "--out", str(given["tmp_path"] / "out"), *more]

    return arguments


def rows(cells, **options):
    """The same for a CSV file with one good row, and one with these cells of S, answer and so on.

    The second row is row 1.
    """
    return table(HEADER + ROW + cells + b"\n", **options)


def records(*some, **options):
    """The same for a JSON file."""
    return table(json.dumps(some).encode(), option="--json", **options)


GOOD = {"clean": "Then Mary met John and", "corrupted": "Then Ruth met Lucy and",
        "answer": " Mary", "foil": " John", "S": 1}  # fmt: skip


def short_model(given):
    """A directory with a model of the bundled vocabulary whose context is 6 tokens."""
    mini, folder = given["mini"], given["tmp_path"] / "short"
    sizes = {"n_layers": 1, "n_heads": 1, "d_model": 8, "d_mlp": 8, "n_ctx": 6}
    config = interp.GPT2Config(d_vocab=mini.config.d_vocab, **sizes)
    interp.save(interp.HookedGPT2(config, mini.tokenizer), folder)
    return str(folder)


def claimed(given):
    """A folder with the results of another run."""
    asked = {"analysis": "attention", "model": "mini", "n": 7}
    (given["tmp_path"] / "run.json").write_text(json.dumps(asked))
    return str(given["tmp_path"])


def in_the_way(given):
    """A folder that cannot be made, since a file has its name."""
    return written(given, "file", b"in the way") + "/out"


COMMAND_ROWS = [
    ("no such command", lambda _: ["activation-patchin"], 2, "did you mean 'activation-patching'"),
    ("no such option", lambda _: ["attention", "--layers", "3"], 2, "No such option"),
    ("n 0", lambda _: ["ioi", "--n", "0"], 2, "Invalid value for '--n'"),
    ("n 1", lambda _: ["task", "pronoun", "--n", "1"], 2, "Invalid value for '--n'"),
    ("negative n", lambda _: ["attention", "--n", "-3"], 2, "Invalid value for '--n'"),
    ("n of one", lambda _: ["attention", "--n", "1"], 2, "or 0 to leave them out"),
    ("n no number", lambda _: ["head-scores", "--n", "many"], 2, "Invalid value for '--n'"),
    ("unknown part", lambda _: ["ioi", "--parts", "signal"], 2, "did you mean 'signals'"),
    ("part twice", lambda _: ["ioi", "--parts", "mlps,mlps"], 2, "part 'mlps' is given twice"),
    ("no part", lambda _: ["ioi", "--parts", ","], 2, "at least one part"),
    ("threshold", lambda _: ["ioi", "--threshold", "2"], 2, "fraction between 0 and 1"),
    ("unknown task", lambda _: ["task", "pronouns"], 2, "did you mean 'pronoun'"),
    ("unknown site", lambda _: ["activation-patching", "--site", "attn"], 2, "unknown site 'attn'"),
    (
        "unknown direction",
        lambda _: ["path-patching", "--direction", "noise"],
        2,
        "did you mean 'noising'",
    ),
    ("unknown metric", lambda _: ["head-ablation", "--metric", "logitdiff"], 2, "'logit_diff'"),
    (
        "metric without a gradient",
        lambda _: ["attribution-patching", "--metric", "rank"],
        2,
        "unknown metric with a gradient 'rank'",
    ),
    (
        "unknown corruption",
        lambda _: ["activation-patching", "--corruption", "ABC"],
        2,
        "did you mean 'abc'",
    ),
    ("unknown value", lambda _: ["head-ablation", "--value", "means"], 2, "did you mean 'mean'"),
    ("unknown score", lambda _: ["head-scores", "--by", "inductions"], 2, "mean 'induction'"),
    ("unknown input", lambda _: ["path-patching", "--input", "query"], 2, "unknown input 'query'"),
    ("head without layer", lambda _: ["attention", "--heads", "9"], 2, "names no part"),
    ("head twice", lambda _: ["attention", "--heads", "1.2,1.2"], 2, "head 1.2 is given twice"),
    (
        "head that is not there",
        lambda given: ["attention", "--n", "0", "--heads", "9.9", "--out", str(given["tmp_path"])],
        2,
        "mini has no Head 9.9: it has 5 layers of 4 heads",
    ),
    (
        "role that is not there",
        lambda given: ["path-patching", "--n", "2", "--positions", "end", "--out",
                       str(given["tmp_path"])],
        2,
        "unknown role 'end' (did you mean 'END'?)",
    ),
    (
        "receiver without earlier heads",
        lambda given: ["composition", "--samples", "1", "--receivers", "0.1", "--out",
                       str(given["tmp_path"])],
        2,
        "no head of mini with earlier ones",
    ),
    ("no device", lambda _: ["ioi", "--device", "gpu"], 2, "'gpu' is not a device"),
    (
        "device that is not there",
        lambda given: ["ioi", "--device", "cuda:77", "--out", str(given["tmp_path"])],
        2,
        "cuda",
    ),
    ("no model", lambda _: ["logit-lens", "--model", "gpt-2"], 2, "did you mean 'gpt2'"),
    ("empty model", lambda _: ["verify", ""], 2, "no model and no directory is called ''"),
    (
        "file for a model",
        lambda given: ["attention", "--model", written(given, "model", b"x")],
        2,
        "no model and no directory",
    ),
    ("no prompts file", lambda _: ["ioi", "--prompts", "nowhere.json"], 2, "is not there"),
    (
        "empty prompts file",
        lambda given: ["ioi", "--prompts", written(given, "p.json", b" \n")],
        2,
        "is empty",
    ),
    (
        "Latin-1 prompts file",
        lambda given: ["ioi", "--prompts", written(given, "p.json", b'{"names": ["Ren\xe9"]}')],
        2,
        "is not UTF-8 text (byte 15 is 0xe9)",
    ),
    (
        "prompts file that is no JSON",
        lambda given: ["head-scores", "--prompts", written(given, "p.json", b"{names}")],
        2,
        "is not JSON",
    ),
    (
        "prompts file that is a list",
        lambda given: ["head-scores", "--prompts", written(given, "p.json", b"[1]")],
        2,
        "should hold a JSON object",
    ),
    ("folder of prompts", lambda given: ["ioi", "--prompts", given["tmp_path"]], 2, "a folder"),
    ("no task", lambda _: ["task"], 2, "which task? Give one of greater-than"),
    ("positions of a circuit", lambda _: ["task", "pronoun", "--positions", "every"], 2, "'every'"),
    (
        "task and file",
        lambda given: ["head-ablation", "--task", "ioi", "--csv", written(given, "t", HEADER)],
        2,
        "task and csv each say which prompts to use; give one of task, csv and json",
    ),
    ("named task and file", lambda given: ["task", "pronoun", "--csv", written(given, "t", HEADER)],
     2, "task and csv each say"),
    (
        "two files",
        lambda _: ["attention", "--csv", "a.csv", "--json", "b.json"],
        2,
        "csv and json each say which prompts to use",
    ),
    ("unknown task of an analysis", lambda _: ["logit-lens", "--task", "pronouns"], 2,
     "did you mean 'pronoun'"),
    ("roles without a file", lambda _: ["path-patching", "--roles", "S"], 2, "columns of a file"),
    (
        "templates of IOI for a file",
        lambda given: ["head-scores", "--csv", written(given, "t.csv", HEADER + ROW * 2),
                       "--prompts", written(given, "p.json", b"{}")],
        2,
        "csv is a file of whole prompts",
    ),
    ("no table", lambda _: ["task", "--csv", "nowhere.csv"], 2, "no table 'nowhere.csv'"),
    ("folder for a table", lambda given: ["task", "--csv", given["tmp_path"]], 2, "is a folder"),
    ("empty table", table(b""), 2, "is empty"),
    ("table of a header", table(HEADER), 2, "own.table has no rows"),
    ("table of one row", table(HEADER + ROW), 2, "at least 2 prompts"),
    ("table in Latin-1", table(HEADER + b"Ren\xe9\n"), 2, "is not UTF-8"),
    ("table without a column", table(ROW.join([b"clean,corrupted,answr,foil,S\n", b""])), 2,
     "no column 'answer'; it has ['clean', 'corrupted', 'answr', 'foil', 'S'] and needs"),
    ("table with a column twice", table(b"clean,corrupted,answer,foil,foil\n" + ROW * 2), 2,
     "has the column 'foil' more than once"),
    ("table with a role twice", table(b"clean,corrupted,answer,foil,S,S\n" + ROW[:-1] + b",1\n"),
     2, "has the column 'S' more than once"),
    ("n beyond the table", table(HEADER + ROW * 3, "--n", "4"), 2, "own.table has 3 rows"),
    ("n 0 of a table", table(HEADER + ROW * 3, "--n", "0", command="attention"), 2, "n 0 leaves"),
    ("role that is no column", table(HEADER + ROW * 2, "--roles", "T"), 2, "no column 'T'"),
    ("role called all", table(HEADER.replace(b"S", b"all") + ROW * 2), 2, "cannot be called 'all'"),
    ("role of two words", table(HEADER.replace(b"S", b"a b") + ROW * 2), 2, "to 'a_b'"),
    ("cells too few", rows(TEXTS + b", Mary, John"), 2, "row 1: there are 4 cells"),
    ("answer of several tokens", rows(TEXTS + b", Mary met, John,1"), 2,
     "row 1: answer ' Mary met' is not a single token: [' Mary', ' met']"),
    ("foil of several tokens", rows(TEXTS + b", Mary, John met,1"), 2, "row 1: foil ' John met'"),
    ("partner of another length", rows(b"Then Mary met,Then Ruth met Lucy, Mary, John,1"), 2,
     "row 1: the clean text has 3 tokens, the corrupted one 4"),
    ("no answer", rows(TEXTS + b",, John,1"), 2, "row 1: answer must be a text, not ''"),
    ("role without a cell", rows(TEXTS + b", Mary, John,"), 2,
     "row 1: the position of role 'S' must be a whole number from 0 to 4, or a word"),
    ("role not in the text", rows(TEXTS + b", Mary, John,Ann"), 2, "row 1: the position"),
    ("role in the other text", rows(TEXTS + b", Mary, John,Ruth"), 2, "the corrupted text has it"),
    ("part of a word", rows(TEXTS + b", Mary, John,Mar"), 2, "'Mar' is not in 'Then Mary met"),
    ("word that occurs twice",
     rows(b"Then Mary and Mary met John and,Then Ruth and Ruth met Lucy and, Mary, John,Mary"), 2,
     "2 times, so write 'Mary#1' or 'Mary#2'"),
    ("occurrence that is not there", rows(TEXTS + b", Mary, John,Mary#2"), 2,
     "'Mary#2' is not there: 'Mary' is in 'Then Mary met John and' 1 time"),
    ("position beyond the end", rows(TEXTS + b", Mary, John,5"), 2, "row 1: the position of role"),
    ("position before the text", rows(TEXTS + b", Mary, John,-1"), 2, "row 1: the position"),
    ("position that is a fraction", rows(TEXTS + b", Mary, John,1.5"), 2, "row 1: the position"),
    ("JSON that is none", table(b"[{]", option="--json"), 2, "is not JSON"),
    ("JSON object", table(b'{"clean":\n ["a"]}', option="--json"), 2, "expected a list of records"),
    ("JSON list of texts", records("a", "b"), 2, "row 0: expected a record"),
    ("JSON without rows", table(b"[]", option="--json"), 2, "has no rows"),
    ("record without a field", records(GOOD, {"clean": "a"}), 2, "row 1: the record has no 'corr"),
    ("record with a field twice", table(b'{"clean": "a", "clean": "b"}', option="--json"), 2,
     "'clean' more than once"),
    ("answer that is a number", records(GOOD, {**GOOD, "answer": 45}), 2, "row 1: answer must be"),
    ("answer that is NaN", records(GOOD, {**GOOD, "answer": float("nan")}), 2, "row 1: answer"),
    ("role that is null", records(GOOD, {**GOOD, "S": None}), 2, "row 1: the position of role 'S'"),
    ("role that is NaN", records(GOOD, {**GOOD, "S": float("nan")}), 2, "row 1: the position"),
    ("role that is a truth", records(GOOD, {**GOOD, "S": True}), 2, "row 1: the position of role"),
    *[
        (f"own {name}", rows(TEXTS + b", Mary, John,7", command=name), 2, "row 1: the position")
        for name in (
            "activation-patching", "path-patching", "head-ablation", "attention", "logit-lens",
            "attribution-patching", "direct-logit-attribution", "head-scores",
        )
    ],
    (
        "circuit file of another kind",
        lambda given: ["ioi", "--n", "2", "--circuit", written(given, "c.json", b"{}"), "--out",
                       str(given["tmp_path"] / "out")],
        2,
        "a file of interp.Circuit",
    ),
    ("no tuned lens", lambda _: ["logit-lens", "--tuned", "nowhere"], 2, "no tuned lens at"),
    ("no text", lambda _: ["tuned-lens", "--text", "nowhere"], 2, "text file nowhere is not there"),
    ("no steps", lambda _: ["tuned-lens", "--steps", "0"], 2, "Invalid value for '--steps'"),
    ("noise that is no number", lambda _: ["known-circuits", "--noise", "0,some"], 2, "'some'"),
    ("negative noise", lambda _: ["known-circuits", "--noise", "-1"], 2, "numbers from 0"),
    (
        "folder that cannot be made",
        lambda given: ["activation-patching", "--out", in_the_way(given)],
        2,
        "cannot write to",
    ),
    (
        "folder of another run",
        lambda given: ["attention", "--n", "9", "--out", claimed(given)],
        2,
        "holds the results of another run",
    ),
    (
        "prompts longer than the context",
        lambda given: ["activation-patching", "--n", "2", "--model", short_model(given), "--out",
                       str(given["tmp_path"] / "out")],
        2,
        "takes at most 6",
    ),
    (
        "text longer than the context",
        lambda given: ["attention", "--n", "0", "--text", "Mary " * 200, "--out",
                       str(given["tmp_path"])],
        2,
        "n_ctx",
    ),
    (
        "empty text",
        lambda given: ["logit-lens", "--n", "0", "--text", "", "--out", str(given["tmp_path"])],
        2,
        "",
    ),
]  # fmt: skip

ROWS = [
    ("unknown source of prompts", lambda given: attention.run(given["mini"], file="a.csv"),
     TypeError, "there is no argument 'file'; expected task, csv, json, roles"),
    ("task that is none", lambda given: head_ablation.run(given["mini"], task=3), TypeError,
     "the name of a task"),
    ("path that is none", lambda given: head_ablation.run(given["mini"], csv=3), TypeError,
     "csv must be the path of a file"),
    ("n beyond a task", lambda given: head_ablation.run(given["mini"], task=given["task"], n=99),
     ValueError, "the task has 12 prompts"),
    ("task called all", lambda given: replace(given["task"], positions={
        "all": given["task"].positions["END"], **given["task"].positions}), ValueError,
     "the word for every position"),
    ("n as text", lambda _: activation_patching.run(n="12"), TypeError, "whole number of prompts"),
    ("no sites", lambda given: activation_patching.run(given["mini"], n=2, sites=["stream"]),
     ValueError, "unknown site 'stream'"),
    ("no model", lambda _: attention.run(None, n=0), TypeError, "expected a model's name"),
    ("heads as ints", lambda given: attention.run(given["mini"], n=0, heads=[3]), TypeError,
     "expected a head"),
    ("no heads", lambda given: attention.run(given["mini"], n=0, heads=[]), ValueError,
     "at least one head"),
    ("one head of a pair", lambda given: head_ablation.run(given["mini"], n=2, top=1), ValueError,
     "at least 2 heads"),
    ("no receivers", lambda given: path_patching.run(given["mini"], n=2, top=0), ValueError,
     "at least 1 receiver"),
    ("no choices", lambda given: logit_lens.run(given["mini"], n=0, k=0), ValueError,
     "at least 1 first choice"),
    ("no samples", lambda given: composition.run(given["mini"], samples=0), ValueError,
     "at least 1 random rotation"),
    ("no names", lambda _: known_circuits.run(names=[]), ValueError, "at least one model"),
    ("no steps", lambda given: tuned_lens.run(given["mini"], steps=0), ValueError, "at least 1"),
    ("threshold of a task", lambda given: task.run("pronoun", given["mini"], threshold=-1.0),
     ValueError, "positive fraction"),
    ("circuit of another model", lambda given: ioi.run(
        given["mini"], n=2, circuit=interp.circuits.published_circuit("ioi", "gpt2")), ValueError,
     "the circuit belongs to the model 'gpt2'"),
    ("drawing that is no SVG", lambda _: Drawing("<p>"), ValueError, "one <svg> element"),
    ("format of no column", lambda _: Table([{"x": 1}], formats={"y": ".2f"}), KeyError,
     "formats names 'y'"),
    ("download elsewhere", lambda _: Download("/etc/passwd"), ValueError, "not relative"),
    ("warm-up longer than training", lambda _: TrainingConfig(steps=3, warmup=3), ValueError,
     "warmup"),
    ("part of the store", lambda given: interp.execution.load(
        written(given, "part.npz", b"no results")), ValueError, "damaged"),
    ("no prompts of each group", lambda given: interp.tasks.balanced(given["task"], 0), ValueError,
     "at least"),
]  # fmt: skip

COMMAND_ROWS = [(f"command: {name}", *row) for name, *row in COMMAND_ROWS]
ROWS = [(f"analysis: {name}", *row) for name, *row in ROWS]
