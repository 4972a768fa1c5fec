"""Start-up: `import interp`, every `--help` and every refusal come before torch is imported.

One fresh process does it all and says which modules it has imported; no time is measured.
"""

import json
import subprocess
import sys

import pytest

from analyses.cli import COMMANDS

HEAVY = ("torch", "transformers", "transformer_lens", "datasets", "pandas", "xarray", "plotly",
         "scipy", "numpy", "networkx", "jinja2", "tokenizers", "huggingface_hub")  # fmt: skip
REFUSED = {
    "ioi": ["--parts", "none"],
    "task": ["none"],
    "activation-patching": ["--metric", "none"],
    "path-patching": ["--receivers", "none"],
    "head-ablation": ["--corruption", "none"],
    "attribution-patching": ["--site", "none"],
    "logit-lens": ["--tuned", "none"],
    "tuned-lens": ["--text", "none"],
    "direct-logit-attribution": ["--prompts", "none"],
    "attention": ["--n", "1"],
    "head-scores": ["--device", "none"],
    "composition": ["--model", "none"],
    "known-circuits": ["--noise", "none"],
    "verify": ["none"],
}
SCRIPT = """
import json, sys
import interp
imported = {"import interp": sorted(sys.modules)}
from typer.testing import CliRunner
from analyses.cli import app
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    expected = 0 if arguments[-1] == "--help" else 2
    assert result.exit_code == expected, (arguments, result.output, result.exception)
    imported[" ".join(arguments)] = sorted(sys.modules)
print(json.dumps(imported))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("startup")
    (folder / "file").write_text("in the way")
    commands = [["--help"], *([name, "--help"] for name in COMMANDS)]
    commands += [[name, *arguments] for name, arguments in REFUSED.items()]
    commands.append(["attention", "--out", str(folder / "file" / "out")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 1 + len(commands) and set(REFUSED) == set(COMMANDS)
    return found


def test_nothing_heavy_is_imported(imported):
    for what, modules in imported.items():
        assert not set(HEAVY) & set(modules), what


def test_the_library_is_there_when_it_is_asked_for():
    import interp

    assert interp.load is interp.model.load
    assert set(dir(interp)) >= {"load", "verify", "tasks", "parts", "execution"}
    for name in dir(interp):
        assert getattr(interp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lood'"):
        interp.lood  # noqa: B018
