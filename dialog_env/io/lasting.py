"""What outlives the call that made it must be of use in a training, wherever that call was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def lasting(function: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Runs a function without gradients, but never in inference mode.

    A tensor made in inference mode can neither be written to outside of it nor stand in a computation with gradients.
    What is kept for later calls must therefore not be made there, even where the first call comes from there.
    """
    return torch.inference_mode(False)(torch.no_grad()(function))
