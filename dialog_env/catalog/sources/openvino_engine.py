"""A vision network run by OpenVINO on the CPU: the same features in float32, sooner."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from dialog_env.io.reading import first_line

TOLERANCE = 1e-4
"""Largest difference from what PyTorch gives, as a share of the norm."""
INSTALL = "pip install 'dialog-retrieval[openvino]'"
REMEDY = "use --engine torch"
REPORTS = "openvino_telemetry"
"""The package that sends statistics of use."""


class OpenVinoNetwork:
    """Looks at pictures one by one, as many at once as PyTorch has threads.

    One picture is one thread's work, so that its features depend neither on the pictures beside it nor on the number
    of threads.

    Args:
        network: a vision network of transformers in evaluation mode, on the CPU.
        normalise: makes what it reads of pictures (B, H, W, 3) uint8.
        shape: rows and columns of the pictures.
        pooler: whether what it pools itself is asked for.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: it cannot run the network, or gives other features of noise than PyTorch.
    """

    def __init__(
        self, network: nn.Module, normalise: Callable[[Tensor], Tensor], shape: tuple[int, int], pooler: bool
    ) -> None:
        openvino = import_openvino()
        noise = torch.randint(256, (1, *shape, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        traced = _OfPixels(network, normalise, pooler).eval()
        threads = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # two processes would share a core while another is idle
        }
        try:
            with torch.no_grad():
                expected = traced(noise)
                model = _converted(traced, noise)
            model.reshape(list(noise.shape))
            self._compiled = openvino.Core().compile_model(model, "CPU", settings)
        except (RuntimeError, ValueError, AttributeError, TypeError, NotImplementedError) as error:
            raise ValueError(f"OpenVINO cannot run the backbone ({first_line(error)}); {REMEDY}") from error
        self._queue = openvino.AsyncInferQueue(self._compiled, threads)
        self._shapes = [tuple(output.shape)[1:] for output in self._compiled.outputs]
        for found, wanted in zip(self._look(noise), expected, strict=True):
            if found.shape != wanted.shape or float((found - wanted).norm()) > TOLERANCE * float(wanted.norm()):
                raise ValueError(f"OpenVINO gives other features of noise than PyTorch; {REMEDY}")

    def __call__(self, pixels: Tensor) -> SimpleNamespace:
        """(B, H, W, 3) uint8 -> `last_hidden_state` of the network, and `pooler_output` where it was asked for."""
        names = ("last_hidden_state", "pooler_output")
        return SimpleNamespace(**dict(zip(names, self._look(pixels), strict=False)))

    def _look(self, pixels: Tensor) -> list[Tensor]:
        """What the network gives of pictures (B, H, W, 3) uint8, (B, …) each."""
        rows = pixels.contiguous().numpy()
        given = [torch.empty(len(rows), *shape) for shape in self._shapes]

        def keep(request: Any, row: int) -> None:
            for number, tensor in enumerate(given):
                tensor.numpy()[row] = request.get_output_tensor(number).data[0]

        self._queue.set_callback(keep)
        for row in range(len(rows)):
            self._queue.start_async([rows[row : row + 1]], row)
        self._queue.wait_all()
        return given


def import_openvino() -> Any:
    """The package, without its reports: importing it sends one, as converting does, but where `openvino_telemetry` is
    missing; ImportError where it is not installed."""
    reports = sys.modules.get(REPORTS, REPORTS)
    sys.modules[REPORTS] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        import openvino
    except ImportError as error:
        raise ImportError(f"engine openvino needs OpenVINO, which is not installed; {INSTALL}") from error
    finally:
        del sys.modules[REPORTS]
        if not isinstance(reports, str):
            sys.modules[REPORTS] = reports
    return openvino


def openvino_release() -> str:
    """For people."""
    return f"openvino {version('openvino')}"


class _OfPixels(nn.Module):
    """A network together with what makes its input of a picture."""

    def __init__(self, network: nn.Module, normalise: Callable[[Tensor], Tensor], pooler: bool) -> None:
        super().__init__()
        self.network, self.normalise, self.pooler = network, normalise, pooler

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, H, W, 3) uint8 -> last hidden state, and pooled features."""
        given = self.network(pixel_values=self.normalise(pixels))
        return (given.last_hidden_state, given.pooler_output) if self.pooler else (given.last_hidden_state,)


def _converted(network: nn.Module, example: Tensor) -> Any:
    """The network as a model of OpenVINO, by the parts of `openvino.convert_model` that report nothing."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    logger = logging.getLogger("transformers")
    told = logger.level
    logger.setLevel(logging.CRITICAL)  # tracing asks for every attribute, and transformers warns of some
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoder = TorchScriptPythonDecoder(network, example_input=example)
        return frontend.convert(frontend.load(decoder))
    finally:
        logger.setLevel(told)
