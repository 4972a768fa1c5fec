import os

# Before transformers and huggingface_hub read it: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
import torch

# The models of the tests are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with GPT-2's real vocabulary and the paper's prompts."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder `shared` beside the repository, which is not there")
    return SHARED


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
