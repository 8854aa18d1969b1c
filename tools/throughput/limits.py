"""`python -m tools.throughput.limits`: how far everything is from done literally, and from what this machine can do.

Every row is a ratio of two works that were done in turn, so that other load meets both. What the machine can do are the
products a second of two large matrices, and the bytes a second of a large copy.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import torch
import tyro

from dialog_env.benchmarks.provenance import provenance
from dialog_env.catalog import Catalog, Contents
from dialog_env.catalog.sources import features
from dialog_env.evaluate import protocol
from dialog_env.io.atomic import write_atomically
from dialog_env.io.freed import LARGEST
from dialog_env.simulators.captioner import PrecomputedCaptioner, import_released
from dialog_env.simulators.forms.relevance import RelevanceUser
from dialog_env.world import large_gallery
from dialog_env.world.answers import SWITCH
from dialog_env.world.dialog import TURNS
from dialog_env.world.large_gallery import Spare
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking
from tools.throughput.clock import REST, STATUS, fastest_in_turn
from tools.throughput.dialogs import ENVIRONMENT, _Player, turn_shares
from tools.throughput.workload import FULL, GIB, SMALL, Material, Workload, literal

NEAREST = 4
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Settings of mallopt(3)."""
LENGTHS = (6, 16)
"""Words of a sentence."""


@dataclass(frozen=True)
class Line:
    """A row of the table: what was done, what was asked for, what came out, and how near that is to the limit."""

    work: str
    asked: str
    measured: str
    limit: str = ""


class Machine:
    """What two cores, or whatever there is, can do.

    Attributes:
        products: multiplications and additions in float32 a second, each counted, of two large matrices.
        copied: bytes a second that a large copy reads and writes, together.
    """

    def __init__(self, side: int, repeats: int) -> None:
        left, right = torch.randn(2, side, side).unbind(0)
        source = torch.randn(4 * side * side)
        target = torch.empty_like(source)
        works: list[Callable[[], object]] = [partial(torch.mm, left, right), partial(target.copy_, source)]
        product, copy = fastest_in_turn(works, repeats)
        self.products, self.copied = 2 * side**3 / product, 8 * len(source) / copy

    def of_peak(self, operations: float, seconds: float) -> str:
        """The share of its products a second."""
        return f"{operations / seconds / self.products:.2f} of the peak of products"

    def of_copy(self, moved: float, seconds: float) -> str:
        """The share of its bytes a second."""
        return f"{moved / seconds / self.copied:.2f} of the rate of a copy"


def rankings(load: Workload, machine: Machine) -> list[Line]:
    """Each question alone against a loop over the queries, and a gallery of a number that is no multiple of 8."""
    lines = []
    for name, ask in QUESTIONS.items():
        queries, targets, gallery = _queries(load, load.galleries[0])
        ours = partial(_asked, queries, targets, gallery, ask)
        slow, quick = fastest_in_turn(
            [partial(_loop, queries, targets, gallery.embeddings, name), ours], load.repeats, patience=load.patience
        )
        lines.append(
            Line(
                f"{name} of {load.batch} queries among {load.galleries[0]:,} images against a loop",
                "10x",
                f"{slow / quick:.1f}x",
                machine.of_peak(2 * queries.numel() * load.galleries[0], quick),
            )
        )
    odd, even = load.galleries[0] // 4, load.galleries[0] // 4 // 8 * 8 + 8
    works = []
    for images in (odd + (odd % 8 == 0), even):
        queries, targets, gallery = _queries(load, images)
        works.append(partial(_asked, queries, targets, gallery, QUESTIONS["rank"]))
    seconds = fastest_in_turn(works, load.repeats, patience=load.patience)
    lines.append(
        Line(f"rank among {odd + (odd % 8 == 0):,} images against {even:,}", "1x", f"{seconds[0] / seconds[1]:.2f}x")
    )
    return lines


QUESTIONS: dict[str, Callable[[QueryRanking, torch.Tensor], object]] = {
    "rank": lambda ranking, targets: ranking.target_rank(targets),
    "nearest": lambda ranking, targets: ranking.top(1),
    f"{NEAREST} nearest": lambda ranking, targets: ranking.top(NEAREST),
}


def _queries(load: Workload, images: int) -> tuple[torch.Tensor, torch.Tensor, EmbeddedGallery]:
    generator = torch.Generator().manual_seed(load.seed)
    embeddings = torch.randn(images, load.dimensions, generator=generator)
    targets = torch.randint(images, (load.batch,), generator=generator)
    return (
        embeddings[targets] + torch.randn(load.batch, load.dimensions, generator=generator),
        targets,
        EmbeddedGallery(embeddings),
    )


def _asked(
    queries: torch.Tensor, targets: torch.Tensor, gallery: EmbeddedGallery, ask: Callable[..., object]
) -> object:
    return ask(QueryRanking(queries, gallery), targets)


def _loop(queries: torch.Tensor, targets: torch.Tensor, embeddings: torch.Tensor, question: str) -> list[torch.Tensor]:
    found = []
    for query, target in zip(queries, targets, strict=True):
        distance = (embeddings - query).square().sum(dim=1)
        if question == "rank":
            found.append((distance < distance[target]).sum())
        else:
            found.append(distance.argmin() if question == "nearest" else distance.topk(NEAREST, largest=False).indices)
    return found


def feedback(load: Workload, machine: Machine) -> list[Line]:
    """A batch of pairs against a literal forward pass, images known (warm) and never seen (cold), by length."""
    load = replace(load, images=2 * load.batch)
    material = Material(load, "cpu")
    gallery = material.gallery
    targets, candidates = torch.randperm(load.images, generator=torch.Generator().manual_seed(1)).view(2, -1)
    read = [
        [torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in (source[targets], source[candidates])]
        for source in (gallery.features, gallery.read_regions())
    ]
    pairs = [torch.cat([target, target - candidate], dim=-1) for target, candidate in read]
    lines = []
    for length in LENGTHS:
        weights = _talkative(material.weights, pairs, length)
        speaker = literal("captioner").LiteralCaptioner(weights, "show_attend_tell")
        network = import_released(weights, "show_attend_tell")

        def made(network: Any = network) -> PrecomputedCaptioner:
            return PrecomputedCaptioner(network, gallery.features, gallery.read_regions())

        warm = made()
        warm.precompute()
        said = warm.feedback(targets, candidates)
        alike = int((said == speaker.greedy(*pairs)).all(dim=1).sum())
        fresh = [made() for _ in range(load.repeats + 1)]
        works: list[Callable[[], object]] = [
            partial(speaker.greedy, *pairs),
            partial(warm.feedback, targets, candidates),
            partial(_unseen, fresh, targets, candidates),
        ]
        slow, quick, cold = fastest_in_turn(works, load.repeats)
        words = float((said != 0).sum(dim=1).float().mean())
        steps = float(((said != 0).sum(dim=1) + 1).clamp(max=said.shape[1]).sum())
        hidden = load.hidden
        products = 2 * steps * hidden * (5 * hidden + load.words + 1)
        moved = 4 * steps * load.regions * (3 * hidden + 4 * hidden)
        work = f"feedback of the captioner on {load.batch} pairs, {words:.0f} words a sentence ({alike} the same)"
        lines += [
            Line(f"{work}, images known", "", f"{slow / quick:.1f}x", f"{machine.of_peak(products, quick)}; regions: "
                 f"{machine.of_copy(moved, quick)}"),
            Line(f"{work}, images never seen", "", f"{slow / cold:.1f}x",
                 machine.of_peak(products + 2 * load.images * load.regions * load.channels * 5 * hidden, cold)),
        ]  # fmt: skip
    return lines


def _unseen(fresh: list[PrecomputedCaptioner], targets: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """What one of some captioners says that have seen no image yet."""
    return fresh.pop().feedback(targets, candidates)


def _talkative(weights: dict[str, torch.Tensor], pairs: Sequence[torch.Tensor], words: int) -> dict[str, torch.Tensor]:
    """Weights of which the bias of the sentence's end is such that sentences have about so many words."""
    low, high = -60.0, 60.0
    some = [part[:64] for part in pairs]
    found: list[tuple[float, dict[str, torch.Tensor]]] = []
    for _ in range(14):
        middle = (low + high) / 2
        bias = weights["logit.bias"].clone()
        bias[0] += middle
        made = {**weights, "logit.bias": bias}
        said = literal("captioner").LiteralCaptioner(made, "show_attend_tell").greedy(*some)
        length = float((said != 0).sum(dim=1).float().mean())
        low, high = (middle, high) if length > words - 0.5 else (low, middle)
        found.append((abs(length - words), made))
    return min(found, key=lambda each: each[0])[1]


def turns(load: Workload, machine: Machine) -> list[Line]:
    """The describer's turn with memory kept and with fresh memory, its bookkeeping, and a turn of one dialog."""
    keywords: dict[str, Any] = {"simulator": "describer", "autoreset_mode": "SameStep"}
    native = _Player(gymnasium.make_vec(ENVIRONMENT, load.many_dialogs, **keywords), load.many_dialogs)
    fresh, kept = fastest_in_turn(
        [partial(_in_fresh_memory, native), native.play], load.repeats, patience=load.patience
    )
    share = turn_shares(native, load.repeats, "cpu")[REST]
    single = _Player(gymnasium.make(ENVIRONMENT, simulator="describer"), None)
    [alone] = fastest_in_turn([single.play], load.repeats, patience=load.patience / 2)
    work = f"turn of {load.many_dialogs:,} dialogs, describer"
    return [
        Line(f"{work}: memory kept against fresh memory", "", f"{fresh / kept:.2f}x"),
        Line(f"{work}: bookkeeping", "below 10%", f"{100 * share:.1f}%"),
        Line("turns/s of a single environment, describer", "", f"{TURNS / alone:,.0f}"),
    ]


def _in_fresh_memory(player: _Player) -> None:
    """With what the C library keeps by itself: pieces as large as the costs of a turn, and nothing by us."""
    costs = 4 * player.env.unwrapped.num_envs * len(player.env.unwrapped.gallery)
    _keep_up_to(min(costs, LARGEST))
    try:
        with mock.patch.object(large_gallery, "SPARE", _Fresh()):
            player.play()
    finally:
        _keep_up_to(LARGEST)


def _keep_up_to(size: int) -> None:
    """Sets what `keep_freed_memory` shows the GNU C library; nothing with another one."""
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(MMAP_THRESHOLD, size)
        adjust(TRIM_THRESHOLD, 2 * size)


class _Fresh(Spare):
    def take_back(self, part: torch.Tensor) -> None:
        """Lets it go."""


def extraction(load: Workload, backbone: Path | None) -> list[Line]:
    """Pictures through the encoder, in each engine, against the network as it is in batches of 16, channels last."""
    if backbone is None:
        return [Line("features of pictures against the network as it is", "2.5x", "not measured: give --backbone")]
    engines = [engine for engine in features.ENGINES if engine == "torch" or find_spec(engine)]
    encoders = [features.VisionBackbone(backbone, engine=engine) for engine in engines]
    preprocessing = encoders[0].preprocessing
    network = features.load_network(backbone).float().eval().to(memory_format=torch.channels_last)
    pictures = np.random.default_rng(0).integers(0, 256, (32, preprocessing.height, preprocessing.width, 3), np.uint8)

    @torch.inference_mode()
    def plain() -> torch.Tensor:
        pieces = []
        for start in range(0, len(pictures), 16):
            pixels = preprocessing.normalise(torch.from_numpy(pictures[start : start + 16]))
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            pieces.append(network(pixel_values=pixels).last_hidden_state.mean(dim=(2, 3)))
        return torch.cat(pieces)

    slow, *quick = fastest_in_turn([plain, *(partial(encoder, pictures, 7) for encoder in encoders)], load.repeats)
    expected, lines = plain(), []
    for encoder, seconds in zip(encoders, quick, strict=True):
        away = float((encoder(pictures, 0)[0] - expected).norm() / expected.norm())
        lines.append(
            Line(
                f"features of {len(pictures)} pictures ({encoder.name}), engine {encoder.engine}, against the network "
                "as it is, batches of 16",
                "2.5x" if encoder.engine == engines[-1] else "",
                f"{slow / seconds:.2f}x, {len(pictures) / seconds:.0f} pictures/s, {away:.0e} apart",
            )
        )
    return lines


def million(load: Workload) -> list[Line]:
    """An evaluation with a sample of targets over the largest gallery, ranked by a policy in the pooled features."""
    images, dialogs = load.galleries[-1], min(2_000, load.galleries[-1])
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "million.h5")
        values = rng.standard_normal((images, load.dimensions), dtype=np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        ids = np.array([f"random-{image}" for image in range(images)], dtype=object)
        Catalog(Contents("million", ids, values, splits={"test": np.arange(images)})).write(path)
        del values, ids
        [opening] = fastest_in_turn([partial(Catalog.open, path)], 2)
        gallery = Catalog.open(path).split("test")
        with _OwnMemory() as own:
            [seconds] = fastest_in_turn(
                [partial(protocol.run, _Nearest(), gallery, RelevanceUser(gallery), seed=0, targets=dialogs)], 1
            )
    return [
        Line(
            f"evaluation of {dialogs:,} dialogs over {images:,} images",
            "below 600 s and 2 GiB",
            f"{seconds:.0f} s, {own.peak / GIB:.2f} GiB beside the mapped file",
        ),
        Line(f"opening a catalogue of {images:,} images again", "", f"{opening:.2f} s"),
    ]


def _by_itself(measured: Callable[[Workload], list[Line]], load: Workload) -> list[Line]:
    """Lines measured in a process of its own, in whose memory nothing else has left anything."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(measured, (load,))


class _OwnMemory:
    """The peak of the memory of this process that is no file's, in bytes, looked at all the time."""

    def __init__(self) -> None:
        self.peak, self._done = 0, threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _OwnMemory:
        self._watcher.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
            self.peak = max(self.peak, int(lines["RssAnon"].split()[0]) * 1024)


class _Nearest:
    """Moves about by the feedback and shows the nearest image, so that rankings cost what those of an agent do."""

    def bind(self, gallery: Catalog) -> None:
        self.features = EmbeddedGallery(torch.from_numpy(gallery.features))

    def begin(self, batch: int) -> None:
        return None

    def act(self, observation: Any, memory: None) -> Any:
        step = torch.zeros_like(observation.features)
        step[:, 0] = observation.turn + 1.0
        self.ranking = QueryRanking(observation.features + step, self.features)
        self.candidates, self.memory = self.ranking.top(1)[:, 0], None
        return self


def starting() -> list[Line]:
    """Processor time of help, of NumPy and of PyTorch alone, all of them compiled before, as they are once used."""
    used = {
        name: min(_processor_seconds(command) for _ in range(3))
        for name, command in {
            "`benchmark run --help`": ["-m", "dialog_env", "benchmark", "run", "--help"],
            "`catalog build --help`": ["-m", "dialog_env", "catalog", "build", "--help"],
            "`import numpy`": ["-c", "import numpy"],
            "`import torch`": ["-c", "import torch"],
        }.items()
    }
    return [
        Line(f"starting {name}", "below 0.5 s" if "help" in name else "", f"{took:.2f} s")
        for name, took in used.items()
    ]


def _processor_seconds(command: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(output: Path = Path("runs/limits"), backbone: Path | None = None, small: bool = False) -> None:
    """Measures everything in turn and writes a table.

    Args:
        output: folder of the table.
        backbone: folder of a vision model, for the extraction of features.
        small: seconds instead of minutes, to see that it works; the numbers say nothing then.
    """
    load = SMALL if small else replace(FULL, patience=3.0)
    machine = Machine(64 if small else 2048, load.repeats)
    with mock.patch.dict(os.environ, {SWITCH: "nowhere"}):
        lines = [
            *rankings(load, machine),
            *feedback(load, machine),
            *turns(load, machine),
            *extraction(load, backbone),
            *_by_itself(million, load),
            *starting(),
        ]
    origin = provenance("cpu")
    text = [
        f"Machine: {origin['machine']}, {torch.get_num_threads()} threads; products {machine.products / 1e9:,.0f} "
        f"GFLOP/s, copies {machine.copied / 1e9:.1f} GB/s; `{origin['command']}`, {origin['time'][:10]}",
        "",
        "| work | asked for | measured | of the limit |",
        "| --- | --- | --- | --- |",
        *(f"| {each.work} | {each.asked or '—'} | {each.measured} | {each.limit or '—'} |" for each in lines),
    ]
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "limits.md", ("\n".join(text) + "\n").encode())
    print("\n".join(text))


if __name__ == "__main__":
    tyro.cli(measure)
