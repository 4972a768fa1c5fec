"""Models of the hub: the real client against a server on the loopback."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from interp.model.hub import HUB, ModelNotFoundError
from interp.model.loading import load
from tests.checkpoints import WORDS, write_checkpoint

FILES = ("config.json", "tokenizer.json", "model.safetensors")
TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6, 1, 30], [6, 5, 4, 3, 2, 1, 0, 49]])


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
