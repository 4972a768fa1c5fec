"""Loading: the same function as Hugging Face's model, no second copy, and a clear refusal."""

import json
import os
import pickle
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from interp.model.hf_layout import CheckpointError
from interp.model.hub import HUB, MODEL_NAMES, ModelNotFoundError
from interp.model.loading import load
from tests.checkpoints import WORDS, edit_json, edit_weights, write_checkpoint, write_tokenizer

TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6, 1, 30], [6, 5, 4, 3, 2, 1, 0, 49]])
FILES = ("config.json", "tokenizer.json", "model.safetensors")
LINUX = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc, as on Linux")


def drop_prefix(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        tensors[name.removeprefix("transformer.")] = tensors.pop(name)


def assert_same_function(directory: Path, reference: GPT2LMHeadModel) -> None:
    with torch.inference_mode():
        expected = reference(TOKENS).logits.log_softmax(-1)
        torch.testing.assert_close(
            load(directory)(TOKENS).log_softmax(-1), expected, atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tie_word_embeddings": False},
        {"activation_function": "gelu", "n_inner": 24},
        {"activation_function": "relu", "layer_norm_epsilon": 0.1},
    ],
    ids=["tied", "untied", "gelu-narrow", "relu-eps"],
)
def test_log_probabilities_are_hugging_faces(
    tmp_path: Path, config: dict[str, Any], prefix: bool
) -> None:
    reference = write_checkpoint(tmp_path, **config)
    if not prefix:
        edit_weights(tmp_path, drop_prefix)
    assert_same_function(tmp_path, reference)


def test_shards_are_read(tmp_path: Path) -> None:
    reference = write_checkpoint(tmp_path / "whole")
    reference.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert not (tmp_path / "shards" / "model.safetensors").exists()
    assert_same_function(tmp_path / "shards", reference)


def test_masks_stored_by_old_transformers_are_ignored(tmp_path: Path) -> None:
    reference = write_checkpoint(tmp_path)

    def add_buffers(tensors: dict[str, Tensor]) -> None:
        tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.uint8)
        tensors["transformer.h.1.attn.masked_bias"] = torch.tensor(-1e4)

    edit_weights(tmp_path, add_buffers)
    assert_same_function(tmp_path, reference)


def test_tied_embeddings_are_one_parameter_also_when_stored_twice(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_weights(
        tmp_path, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"].clone()})
    )
    model = load(tmp_path)
    assert model.unembed.weight is model.embed.W_E
    assert model.embed.W_E.requires_grad
    assert not model.unembed.b_U.requires_grad
    edit_weights(tmp_path, lambda t: t["lm_head.weight"].add_(1))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs"):
        load(tmp_path)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_float32_unless_a_dtype_is_given(
    tmp_path: Path, stored: torch.dtype
) -> None:
    reference = write_checkpoint(tmp_path).to(stored)
    reference.save_pretrained(tmp_path)
    c_fc = reference.transformer.h[1].mlp.c_fc.weight
    assert {p.dtype for p in load(tmp_path).parameters()} == {torch.float32}
    assert torch.equal(load(tmp_path).blocks[1].mlp.W_in, c_fc.float())
    as_stored = load(tmp_path, dtype=stored)
    assert {p.dtype for p in as_stored.parameters()} == {stored}
    assert torch.equal(as_stored.blocks[1].mlp.W_in, c_fc)


def test_device_and_dtype_are_checked(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    assert load(tmp_path, device="meta").device.type == "meta"
    with pytest.raises(ValueError, match=r"floating-point.*int64"):
        load(tmp_path, dtype=torch.int64)


# ---- memory ------------------------------------------------------------------------------------


def mapped_ranges(path: Path) -> list[tuple[int, int]]:
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]
    return [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines]  # type: ignore[misc]


def status_kib(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


@LINUX
def test_parameters_lie_in_the_mapped_file_and_writing_leaves_the_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tie_word_embeddings=False)
    path = (tmp_path / "model.safetensors").resolve()
    model, before = load(tmp_path), path.read_bytes()
    ranges = mapped_ranges(path)
    for name, parameter in model.named_parameters():
        inside = any(low <= parameter.data_ptr() < high for low, high in ranges)
        assert inside or name == "unembed.b_U", name
    with torch.no_grad():
        model.embed.W_E.zero_()
    assert path.read_bytes() == before


@LINUX
def test_loading_half_a_gigabyte_takes_no_second_copy(tmp_path: Path) -> None:
    """GPT-2 small's size: RSS may grow by the mapped file, private memory hardly at all."""
    with torch.device("meta"):
        reference = GPT2LMHeadModel(GPT2Config())
    reference.to_empty(device="cpu").tie_weights()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.fill_(0.01)
    reference.save_pretrained(tmp_path)
    del reference, parameter
    size = (tmp_path / "model.safetensors").stat().st_size / 1024  # KiB
    assert size > 450_000
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:
        pytest.skip("the kernel does not let a process reset its peak memory")
    private, resident = status_kib("RssAnon"), status_kib("VmRSS")
    model = load(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # pytest keeps its folders, the mapping keeps itself
    assert status_kib("RssAnon") - private < 0.05 * size
    assert status_kib("VmHWM") - resident < 1.1 * size
    assert model.config.n_layers == 12


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "llama"}, "'llama'"),
        ({"model_type": "gpt_neo"}, "'gpt_neo'"),
        ({"model_type": None}, "None"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False"),
        ({"add_cross_attention": True}, "add_cross_attention=True"),
        ({"activation_function": "silu"}, "activation_function='silu'.*gelu_new"),
        ({"n_layer": None}, "n_layer.*None"),
        ({"n_embd": "32"}, r"n_embd.*'32'"),
        ({"n_head": 3}, "multiple of n_heads"),
        ({"n_positions": 0}, "n_ctx must be at least 1"),
        ({"n_inner": -4}, "d_mlp must be at least 1"),
        ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon.*'small'"),
    ],
)
def test_foreign_configs_are_refused_before_the_weights_are_looked_for(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "config.json", **fields)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1, 2]", b"\xff\xfe"], ids=["cut", "list", "binary"])
def test_unreadable_json_is_refused(tmp_path: Path, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(tmp_path)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for kept in (len(whole) - 1, len(whole) // 2, 100, 4, 0):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match=rf"\({kept} bytes\) is truncated"):
            load(tmp_path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load(tmp_path)


W_IN = "transformer.h.1.mlp.c_fc.weight"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop(W_IN), r"missing h\.1\.mlp\.c_fc\.weight"),
        (lambda t: t.update(score=torch.zeros(2, 32)), "unexpected score"),
        (
            lambda t: t.update({W_IN: t[W_IN].T.contiguous()}),
            r"h\.1\.mlp\.c_fc\.weight has shape \(128, 32\), expected \(32, 128\)",
        ),
        (lambda t: t.update({W_IN: t[W_IN].to(torch.int8)}), "stored as I8"),
        (lambda t: t[W_IN][3, 5].fill_(torch.nan), r"h\.1\.mlp\.c_fc\.weight holds NaN"),
        (lambda t: t["transformer.wte.weight"][0, 0].fill_(-torch.inf), r"wte\.weight holds NaN"),
        (lambda t: t.clear(), r"missing wte\.weight.*and \d+ more"),
    ],
    ids=["missing", "unexpected", "mis-shaped", "integers", "nan", "infinite", "empty"],
)
def test_wrong_tensors_are_named(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    write_checkpoint(tmp_path)
    edit_weights(tmp_path, edit)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_untied_checkpoint_without_its_unembedding_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "config.json", tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"missing lm_head\.weight"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickles_are_not_opened(tmp_path: Path, name: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    write_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=rf"pickle \({name}\).*\n.*\n.*\n.*save_pretrained"):
        load(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"expected config\.json.*found nothing"):
        load(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ModelNotFoundError, match=r"found notes\.txt"):
        load(tmp_path)
    write_checkpoint(tmp_path)
    with pytest.raises(ModelNotFoundError, match="is a file; give the directory"):
        load(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no model\.safetensors"):
        load(tmp_path)


def test_shards_must_be_there_and_beside_the_index(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    write_checkpoint(tmp_path / "whole").save_pretrained(shards, max_shard_size="10KB")
    missing = sorted(shards.glob("*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(ModelNotFoundError, match=f"lacks {missing.name}"):
        load(shards)
    for weight_map in (
        {"wte.weight": "../whole/model.safetensors"},
        {},
        None,
        {"wte.weight": "a/b"},
    ):
        edit_json(shards / "model.safetensors.index.json", weight_map=weight_map)
        with pytest.raises(CheckpointError, match="same directory"):
            load(shards)


def test_unknown_names_list_the_models_and_the_nearest() -> None:
    for wrong, near in {
        "gpt-2": "gpt2",
        "openai-community/gpt2-XL": "gpt2-xl",
        "mimi": "mini",
    }.items():
        with pytest.raises(ModelNotFoundError) as caught:
            load(wrong)
        assert f"Did you mean {near!r}?" in str(caught.value)
        assert all(name in str(caught.value) for name in MODEL_NAMES)
    with pytest.raises(ModelNotFoundError) as caught:
        load("no/such/folder")
    assert "Did you mean" not in str(caught.value)


# ---- tokenizer ---------------------------------------------------------------------------------


def test_tokenizer_is_the_checkpoints_own(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, words=WORDS)
    assert load(tmp_path).tokenizer("John gave Mary")["input_ids"] == [2, 3, 1]
    (tmp_path / "tokenizer_config.json").unlink()  # tokenizer.json alone is enough
    alone = load(tmp_path).tokenizer
    assert alone("John gave Mary")["input_ids"] == [2, 3, 1]
    assert (alone.eos_token, alone.eos_token_id) == ("<|endoftext|>", 0)


def test_vocabulary_and_merges_are_a_tokenizer_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    vocabulary = {"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(CheckpointError, match=r"half a tokenizer: it lacks merges\.txt"):
        load(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = load(tmp_path).tokenizer
    assert tokenizer("abb")["input_ids"] == [3, 2]
    assert tokenizer.eos_token_id == 0


def test_without_a_tokenizer_the_model_takes_ids(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    model = load(tmp_path)
    assert model.tokenizer is None
    assert model(TOKENS).shape == (2, 8, 50)


def test_wrong_tokenizers_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    write_tokenizer(tmp_path, [f"word{i}" for i in range(51)])
    with pytest.raises(CheckpointError, match="51 tokens, the embedding only 50"):
        load(tmp_path)
    for damaged in ("{}", '{"version": "1.0", "model": {"type": "BPE"}}', "{"):
        (tmp_path / "tokenizer.json").write_text(damaged)
        with pytest.raises(CheckpointError, match="tokenizer cannot be read"):
            load(tmp_path)


def test_gpt2s_own_tokenizer_reads_as_with_transformers(tmp_path: Path, shared: Path) -> None:
    real = shared / "gpt2-tokenizer"
    write_checkpoint(tmp_path, vocab_size=50257, bos_token_id=50256, eos_token_id=50256)
    expected = AutoTokenizer.from_pretrained(real)
    texts = ["When Mary and John", " don't  17 32\n\tcaf\u00e9 \U0001f600", "<|endoftext|> a"]
    for files in (("tokenizer.json",), ("vocab.json", "merges.txt")):
        for file in files:
            shutil.copy(real / file, tmp_path)
        tokenizer = load(tmp_path).tokenizer
        assert tokenizer(texts)["input_ids"] == expected(texts)["input_ids"]
        assert tokenizer.decode(tokenizer(texts[1])["input_ids"]) == texts[1]
        assert tokenizer.eos_token_id == tokenizer.bos_token_id == 50256
        (tmp_path / files[0]).unlink()


# ---- hub: the real client against a server on the loopback -------------------------------------


class Hub(ThreadingHTTPServer):
    """Serves a directory as every repository at every revision, as the hub's /resolve/ does."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Resolve)
        self.directory = directory
        self.requests: list[str] = []


class _Resolve(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        parts = re.fullmatch(r"/.+/resolve/(\w+)/(.+)", self.path)
        if parts is None:  # the client's own questions, such as a list of coding agents
            return self.send_error(404)
        revision, filename = parts.groups()
        self.server.requests.append(self.path)
        path = self.server.directory / filename
        self.send_response(200 if path.is_file() else 404)
        self.send_header("X-Repo-Commit", revision)
        if path.is_file():
            self.send_header("ETag", f'"{filename}"')
            self.send_header("Content-Length", str(path.stat().st_size))
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command == "GET" and path.is_file():
            self.wfile.write(path.read_bytes())

    do_GET = do_HEAD

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = tmp_path / "served"
    write_checkpoint(served, words=WORDS)
    with Hub(served) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        _use_hub(monkeypatch, server.server_port, tmp_path / "cache")
        yield server
        huggingface_hub.close_session()
        server.shutdown()
        thread.join()


def _use_hub(monkeypatch: pytest.MonkeyPatch, port: int, cache: Path) -> None:
    constants = huggingface_hub.constants
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    huggingface_hub.close_session()  # of an earlier test, with other proxies


@pytest.mark.parametrize("name", HUB)
def test_hub_models_are_fetched_at_their_pinned_revision(hub: Hub, name: str) -> None:
    model = load(name)
    repository, revision = HUB[name]
    assert model.name == name
    assert model.tokenizer("Mary")["input_ids"] == [1]
    assert set(hub.requests) == {f"/{repository}/resolve/{revision}/{file}" for file in FILES}


def test_what_is_cached_needs_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("gpt2")
    hub.requests.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    again = load("gpt2")
    assert not hub.requests
    assert torch.equal(again.embed.W_E, first.embed.W_E)
    with pytest.raises(ModelNotFoundError, match=r"config\.json of 'distilgpt2'"):
        load("distilgpt2")


def check_remedy(error: pytest.ExceptionInfo[ModelNotFoundError], missing: str) -> None:
    message = str(error.value)
    assert message.startswith(f"could not get {missing} of 'gpt2' (openai-community/gpt2")
    assert (
        f"hf download openai-community/gpt2 {' '.join(FILES)} --revision {HUB['gpt2'][1]}"
        in message
    )
    assert "--local-dir gpt2\n" in message
    assert "interp.load('mini') needs no download" in message


@pytest.mark.parametrize("missing", FILES)
def test_a_file_that_the_hub_lacks_is_named(hub: Hub, missing: str) -> None:
    (hub.directory / missing).unlink()
    with pytest.raises(ModelNotFoundError) as caught:
        load("gpt2")
    check_remedy(caught, missing)


def test_offline_with_an_empty_cache_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_hub(monkeypatch, 9, tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError) as caught:
        load("gpt2")
    check_remedy(caught, "config.json")
    assert "offline" in str(caught.value).lower()


def test_no_network_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Resolve) as closed:
        port = closed.server_port
    _use_hub(monkeypatch, port, tmp_path)
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(ModelNotFoundError) as caught:
        load("gpt2")
    check_remedy(caught, "config.json")
    assert not waits  # to try again
