"""The weights in a Stable-Baselines3 zip file, read without unpickling anything."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

POLICY = "policy.pth"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The policy's state dict in a file that `model.save` of Stable-Baselines3 wrote.

    `PPO.load` and its kin unpickle what stands in the `data` of the file, so they must not be given a file of unknown
    origin. This reads tensors alone.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is truncated, no such file, or holds anything but finite tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no Stable-Baselines3 model at {path}; train an agent there first")
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(POLICY)
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, KeyError, EOFError, RuntimeError, OSError, pickle.UnpicklingError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is truncated or no Stable-Baselines3 model ({problem}); train again") from error
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{path} holds {name!r}, which is no tensor; train again")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path} has NaN or infinite numbers in {name!r}; train again with a lower learning rate")
    return dict(weights)
