"""Raw features of many items by Ray Data: each worker writes the batches that one process would have written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dialog_env.catalog.sources.batches import digest_of, holds, path_of, write_batch
from dialog_env.catalog.sources.features import Encoder, depends_on, kept
from dialog_env.io.ray_alone import ray_at


class Extractor:
    """What a worker does with the batches that it is given.

    Args:
        encoded: all N items; see `dialog_env.catalog.sources.features.extract`.
        open_encoder: opens the encoder.
        partial: folder of the batches.
        settings: digest of what they depend on.
        grid, batch: of `extract`.
        place: working folder, module path and number of threads of the process that asks.
    """

    def __init__(
        self,
        encoded: Any,
        open_encoder: Callable[[], Encoder],
        partial: Path,
        settings: str,
        grid: int,
        batch: int,
        place: tuple[str, Sequence[str], int],
    ) -> None:
        folder, path, threads = place
        os.chdir(folder)
        sys.path.extend(entry for entry in path if entry not in sys.path)
        torch.set_num_threads(threads)  # another number may round differently
        self.encoded, self.encoder, self.partial, self.settings = encoded, open_encoder(), partial, settings
        self.grid, self.batch = grid, batch

    def __call__(self, rows: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """Extracts and writes the batches that begin at rows["start"]; gives how many items each has."""
        sizes = []
        for start in rows["start"].tolist():
            stop = min(start + self.batch, len(self.encoded))
            prepared = [self.encoder.prepare(self.encoded[row]) for row in range(start, stop)]
            arrays = kept(*self.encoder(prepared, self.grid), start)
            write_batch(path_of(self.partial, start), arrays, self.settings, start)
            sizes.append(stop - start)
        return {"items": np.array(sizes, np.int64)}


def extract_by_ray(
    encoded: Any,
    encoder: Encoder,
    open_encoder: Callable[[], Encoder],
    partial: Path,
    *,
    grid: int,
    batch: int,
    digests: Sequence[bytes],
    address: str | None,
    gpus: float = 0,
) -> None:
    """Makes the batches that the folder `partial` lacks, so that `extract` finds all of them.

    A stopped call goes on with those that are missing, wherever they are. All machines have to see the folder, and the
    files of the pictures, under the same path.

    Args:
        encoded, partial, grid, batch, digests: as for `extract`.
        encoder: the encoder.
        open_encoder: opens the same in a worker.
        address: of a cluster of Ray; None starts Ray on this machine.
        gpus: of each worker.

    Raises:
        ImportError: Ray is not installed.
        OSError: nobody answers at the address, or a worker cannot write.
        ValueError: the encoder gives NaN or infinite features, or a picture has changed.
    """
    settings = digest_of(depends_on(encoded, encoder, grid, digests))
    partial.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(encoded), batch)
    missing = [start for start in starts if not holds(path_of(partial, start), settings, start)]
    if not missing:
        return
    place = os.getcwd(), sys.path, torch.get_num_threads()
    with ray_at(address, "--ray", "; without --ray one process does it") as ray:
        from ray import data

        data.DataContext.get_current().enable_progress_bars = False
        most = max(1, int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1) / (gpus or 1)))
        done = data.from_items([{"start": start} for start in missing]).map_batches(
            Extractor,
            fn_constructor_args=(encoded, open_encoder, partial, settings, grid, batch, place),
            batch_size=1,
            concurrency=(1, min(most, len(missing))),
            num_cpus=None if gpus else 1,
            num_gpus=gpus or None,
        )
        try:
            with tqdm(total=len(encoded), initial=len(encoded) - _items(missing, batch, len(encoded))) as bar:
                for row in done.iter_rows():
                    bar.update(int(row["items"]))
        except ray.exceptions.RayTaskError as error:
            raise _plain(error) from error


def _items(starts: Sequence[int], batch: int, size: int) -> int:
    return sum(min(start + batch, size) - start for start in starts)


def _plain(error: Any) -> Exception:
    """What was raised in the worker, where it is of a kind that has a sentence; else the last line that it said."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None) or cause.__cause__
        if inner is None or inner is cause:
            break
        cause = inner
    if isinstance(cause, (ValueError, OSError, ImportError)):
        return type(cause)(*cause.args)
    return OSError(str(error).strip().splitlines()[-1])
