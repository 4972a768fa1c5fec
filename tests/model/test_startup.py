"""Importing the model is quick, and leaves transformer_lens whole for whoever imports it later."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from interp.model._light_import import _Finder, light_import

HEAVY = ("transformers", "datasets", "pandas", "plotly", "scipy", "huggingface_hub", "tokenizers")


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_takes_long_waits_and_transformer_lens_is_whole_for_who_imports_it_later():
    """Both in one process, since each costs seconds to start."""
    run(
        "import sys, interp.model\n"
        f"loaded = set({HEAVY}) & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "model = interp.model.load('mini')\n"
        "logits, cache = model.run_with_cache('Mary and John')\n"
        "cache['pattern', 0], model.cfg\n"
        "assert not {'datasets', 'transformer_lens'} & set(sys.modules)\n"
        "import copy, pickle, interp, torch\n"
        "model = interp.load('mini')\n"
        "twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))\n"
        "import transformer_lens\n"
        "from transformer_lens import head_detector, patching, hook_points, TransformerBridge\n"
        "from transformer_lens.utilities import Slice\n"
        "assert isinstance(twin, transformer_lens.HookedRootModule)\n"
        "assert isinstance(twin.hook_embed, hook_points.HookPoint)\n"
        "assert isinstance(model.run_with_cache('Mary')[1], transformer_lens.ActivationCache)\n"
        "transformer_lens.utilities.slice, transformer_lens.utilities.devices.get_device\n"
        "transformer_lens.conversion_utils.conversion_steps.base_tensor_conversion\n"
        "transformer_lens.config.transformer_lens_config\n"
        "_, cache = twin.run_with_cache('Mary and', pos_slice=Slice([-1]))\n"
        "assert cache['z', 0].shape[1] == 1\n"
        "head_detector.detect_head(model, 'one two one two', 'induction_head')\n"
        "fresh = transformer_lens.HookedRootModule.__module__\n"
        "assert fresh == 'transformer_lens.HookedRootModule'\n"
    )


def test_transformer_lens_may_come_first():
    run(
        "import transformer_lens, interp\n"
        "assert isinstance(interp.load('mini'), transformer_lens.HookedRootModule)"
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `heavy_one` whose `__init__` counts its imports, and a light module in it."""
    files = {
        "__init__.py": "import sys\nsys.heavy_one_runs += 1\nfrom .light import Light\n"
        "from . import tools\n",
        "light.py": "from heavy_one.tools import small\nimport heavy_one.tools as tools\n"
        "class Light:\n    value = small()\n",
        "tools/__init__.py": "import sys\nsys.heavy_one_runs += 100\nfrom .parts import small\n"
        "from .big import big\n",
        "tools/parts.py": "def small():\n    return 'small'\n",
        "tools/big.py": "def big():\n    return 'big'\n",
    }
    (tmp_path / "heavy_one" / "tools").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "heavy_one" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.heavy_one_runs = 0
    yield tmp_path / "heavy_one"
    for name in [name for name in sys.modules if name.startswith("heavy_one")]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in waiting()]
    del sys.heavy_one_runs


def waiting():
    ours = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    return [finder for finder in ours if finder.package == "heavy_one"]


def light():
    return light_import("heavy_one", ("light",), {"": (), "tools": ("parts",)})[0]


def test_a_light_import_runs_no_init_and_the_next_import_runs_all(package):
    module = light()
    assert module.Light.value == "small"
    assert sys.heavy_one_runs == 0
    assert "heavy_one" not in sys.modules
    assert "heavy_one.tools" not in sys.modules
    import heavy_one

    assert sys.heavy_one_runs == 101
    assert heavy_one.Light is module.Light
    assert heavy_one.light is module
    assert heavy_one.tools.parts is sys.modules["heavy_one.tools.parts"]
    assert heavy_one.tools.big() == "big"
    assert not waiting()


def test_what_a_hollow_package_lacks_it_has_from_the_whole_one(package):
    tools = light().tools
    assert (tools.small(), sys.heavy_one_runs) == ("small", 0)
    assert (tools.big(), sys.heavy_one_runs) == ("big", 101)
    with pytest.raises(AttributeError, match="no attribute 'neither'"):
        tools.neither  # noqa: B018


def test_after_an_ordinary_import_nothing_is_special(package):
    import heavy_one

    assert light() is heavy_one.light
    assert sys.heavy_one_runs == 101


def test_where_it_does_not_work_the_package_is_imported_whole(package):
    (package / "light.py").write_text(
        "from heavy_one.tools import big\nimport sys\nassert sys.heavy_one_runs > 0\n"
        "class Light:\n    value = big()\n"
    )
    assert light().Light.value == "big"
    assert sys.heavy_one_runs == 101
    import heavy_one

    assert heavy_one.light.Light is heavy_one.Light
    assert not waiting()


def test_threads_that_import_it_meanwhile_get_the_whole_package(package):
    (package / "light.py").write_text(
        "import time\ntime.sleep(0.3)\nfrom heavy_one.tools import small\n"
        "class Light:\n    value = small()\n"
    )
    found = []

    def whole():
        import heavy_one

        found.append(heavy_one.tools.big())

    threads = [threading.Thread(target=light), *(threading.Thread(target=whole) for _ in "abc")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["big"] * 3
    assert sys.heavy_one_runs == 101
