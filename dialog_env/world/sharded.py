"""A gallery that is larger than a machine: every process holds a part of it, and all rank together, exactly.

How many images are closer than the target, and how many are level with it, adds up over the parts; the nearest are
among the nearest of each part. So ranks and nearest images are those of the whole gallery in one process, integer for
integer.

All processes do the same with the same dialogs, as `torchrun` starts them, and each call here waits for the others. One
that does not answer ends all the others with a `ConnectionError`, at once where its connections are closed and after
`PATIENCE` seconds at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from dialog_env.io.device import find_device
from dialog_env.io.keywords import checked_count
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking
from dialog_env.world.topk import lowest_of

PATIENCE = 20.0
"""Seconds in which every process has to answer."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Shards:
    """How N images are divided among processes: consecutive parts of sizes that differ by one at most.

    Args:
        images: N.
        number: of this process, from 0.
        count: how many processes there are.
        device: where they search.
    """

    images: int
    number: int
    count: int
    device: torch.device

    @property
    def start(self) -> int:
        """Position of the first image of this process."""
        return self.border(self.number)

    @property
    def stop(self) -> int:
        """Position after its last image."""
        return self.border(self.number + 1)

    def border(self, number: int) -> int:
        """Position of the first image of a process."""
        return self.images * number // self.count

    def total(self, part: Tensor) -> Tensor:
        """The sum over all processes of tensors of one shape."""
        summed = part.clone()
        if self.count > 1:
            self._ask(lambda: distributed.all_reduce(summed))
        return summed

    def all(self, part: Tensor) -> list[Tensor]:
        """The tensors of all processes, of one shape, in their order."""
        if self.count == 1:
            return [part]
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.count)]
        self._ask(lambda: distributed.all_gather(parts, part.contiguous()))
        return parts

    def sent(self, tensor: Tensor, number: int) -> Tensor:
        """The tensor of one process; that of the others gives shape and type alone."""
        sent = tensor.clone(memory_format=torch.contiguous_format)
        if self.count > 1:
            self._ask(lambda: distributed.broadcast(sent, src=number))
        return sent

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except RuntimeError as error:
            raise ConnectionError(
                f"a process that holds another part of the gallery no longer answers process {self.number} of "
                f"{self.count} ({str(error).strip().splitlines()[0][:200]}); start all of them again"
            ) from error


@contextmanager
def shards_of(images: int, device: str | torch.device = "cpu", patience: float = PATIENCE) -> Iterator[Shards]:
    """Joins the processes that `torchrun` started, until the block ends; without `torchrun` this one is all there is.

    Args:
        images: N, of the whole gallery.
        device: where the parts are searched: "cpu", which talks by gloo, or "cuda", by nccl.
        patience: seconds in which every process has to answer.

    Raises:
        ValueError: fewer images than processes.
        ConnectionError: not all processes are there in time, or (anywhere in the block) one has gone.
    """
    number, count = (int(os.environ.get(name, usual)) for name, usual in (("RANK", 0), ("WORLD_SIZE", 1)))
    checked_count("processes", count, most=images)
    where = find_device(device)
    if count == 1:
        yield Shards(images, 0, 1, where)
        return
    if where.type == "cuda":
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")  # else a process that has gone ends us by a signal
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(where)
    try:
        distributed.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=timedelta(seconds=patience))
    except RuntimeError as error:
        raise ConnectionError(
            f"not all {count} processes were there within {patience:g} s; start all of them at once"
        ) from error
    try:
        yield Shards(images, number, count, where)
    finally:
        distributed.destroy_process_group()


class ShardedGallery:
    """The embeddings of one process, and the others that hold the rest.

    Args:
        embeddings: (n, D) float32, of the images from `shards.start` to `shards.stop`.
        shards: how the gallery is divided.

    Raises:
        ValueError: embeddings of a size that does not fit.
        UnrankableError: see `EmbeddedGallery`.
    """

    def __init__(self, embeddings: Tensor, shards: Shards) -> None:
        self.part, self.shards = EmbeddedGallery(embeddings), shards
        if len(self.part) != shards.stop - shards.start:
            raise ValueError(
                f"process {shards.number} of {shards.count} has {len(self.part)} embeddings; give those of the images "
                f"from {shards.start} to {shards.stop}"
            )

    def __len__(self) -> int:
        return self.shards.images

    @property
    def kept(self) -> int:
        """How many costs each process keeps."""
        return self.part.kept

    @property
    def embeddings(self) -> Tensor:
        """(n, D) of this process."""
        return self.part.embeddings


class ShardedRanking(Ranking):
    """What `QueryRanking` is for a gallery in one process; positions are those in the whole gallery.

    Args:
        queries: (B, D) float32; those of process 0 are taken by all, so that no rounding of a machine tells them apart.
        gallery: the embeddings of this process, and of which they are part.

    Raises:
        ValueError, UnrankableError: see `QueryRanking`.
        ConnectionError: here and in all methods, a process that has gone.
    """

    def __init__(self, queries: Tensor, gallery: ShardedGallery) -> None:
        QueryRanking(queries, gallery.part)  # refuses what is none of them, before the others are made to wait
        self.gallery, self.shards = gallery, gallery.shards
        self.queries = self.shards.sent(queries.detach(), 0)
        self._part = QueryRanking(self.queries, gallery.part)
        super().__init__(len(queries), len(gallery), queries.device)

    def pieces(self) -> Iterator[tuple[int, Tensor]]:
        """All costs, sent by one process after the other."""
        rows = max(1, self.gallery.part.elements // max(self.batch, 1))
        for number in range(self.shards.count):
            first, end = self.shards.border(number), self.shards.border(number + 1)
            for start in range(first, end, rows):
                stop = min(start + rows, end)
                if number == self.shards.number:
                    costs = self._part.costs(start - first, stop - first)
                else:
                    costs = self.queries.new_empty(self.batch, stop - start)
                yield start, self.shards.sent(costs, number)

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(P,) costs, each from the process that has the image."""
        ours = (positions >= self.shards.start) & (positions < self.shards.stop)
        costs = self.queries.new_zeros(len(positions))
        costs[ours] = self._part.exact(rows[ours], positions[ours] - self.shards.start)
        return self.shards.total(costs)

    def _compared(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        closer, equal = self.shards.total(torch.stack(self._part._compared(reference)).long())
        return closer, equal

    def _top(self, count: int, excluded: Tensor | None) -> Tensor:
        shards, part = self.shards, self._part
        most = min(count, part.images)
        inside = None if excluded is None else (excluded - shards.start).masked_fill(excluded < shards.start, -1)
        positions = part.top(most, inside)  # (B, k)
        rows = torch.arange(self.batch, device=self.device).repeat_interleave(most)
        costs = part.exact(rows, positions.flatten()).view(self.batch, most)
        if inside is not None:
            costs.masked_fill_((positions[:, :, None] == inside[:, None, :]).any(dim=2), torch.inf)
        # (B, K) of every process, filled up where it has fewer images
        all_costs = costs.new_full((self.batch, count), torch.inf)
        all_positions = torch.zeros(self.batch, count, dtype=torch.int64, device=self.device)
        all_costs[:, :most], all_positions[:, :most] = costs, positions + shards.start
        return lowest_of(zip(shards.all(all_costs), shards.all(all_positions), strict=True), count)
