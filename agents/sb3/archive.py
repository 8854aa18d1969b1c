"""The weights in a Stable-Baselines3 zip file, read without unpickling anything."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from torch import Tensor

from dialog_env.io.checkpoint import MOST_BYTES, REMEDY, refuse_non_finite
from dialog_env.io.pickles import read_state_dict
from dialog_env.io.reading import first_line, read_bytes

POLICY = "policy.pth"
WHAT = "Stable-Baselines3 model"


def read_weights(path: str | Path, digest: str | None = None) -> dict[str, Tensor]:
    """The policy's state dict in a file that `model.save` of Stable-Baselines3 wrote.

    `PPO.load` and its kin unpickle what stands in the `data` of the file, so they must not be given a file of unknown
    origin. This reads tensors alone.

    Args:
        path: of the file.
        digest: SHA-256 (hex) that the file must have; None where it is not known.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is truncated, damaged, another file, or holds anything but finite tensors.
    """
    content = read_bytes(path, WHAT, "train an agent there first", limit=MOST_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(POLICY).file_size > len(content):
                raise ValueError(f"its {POLICY} is compressed")
            policy = archive.read(POLICY)
    except Exception as error:  # a damaged archive raises almost anything
        raise ValueError(f"{path} is truncated or no {WHAT} ({first_line(error)}); {REMEDY}") from error
    if digest not in (None, hashlib.sha256(content).hexdigest()):
        raise ValueError(f"{path} is damaged or of another agent: its SHA-256 is not the one noted; {REMEDY}")
    weights = read_state_dict(policy, path, WHAT, REMEDY)
    refuse_non_finite(path, weights)
    return weights
