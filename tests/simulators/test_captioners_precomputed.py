"""Precomputed feedback says, word for word, what a literal forward pass says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dialog_env.simulators.captioner import ARCHITECTURES, PrecomputedCaptioner, import_released, pair_features
from dialog_env.simulators.captioner import precomputed as module
from dialog_env.simulators.captioner.decoding import beam_search, start_speaking
from tests.literal_captioner import LiteralCaptioner, Weights, random_released

ALL = sorted(ARCHITECTURES)
IMAGES = 30


class Case:
    """An architecture with random weights, and the features of a gallery."""

    def __init__(self, architecture: str, *, channels: int = 12, hidden: int = 16, words: int = 40, regions: int = 9):
        generator = torch.Generator().manual_seed(7)
        self.architecture = architecture
        self.weights: Weights = random_released(
            architecture, generator, pooled=channels, regions=channels, hidden=hidden, words=words, sharpness=4.0
        )
        # As from a network that ends with a ReLU.
        self.regions = torch.relu(torch.randn(IMAGES, regions, channels, generator=generator))
        self.pooled = 2 * self.regions.mean(1)
        self.network = import_released(self.weights, architecture)
        self.targets, self.candidates = torch.randint(IMAGES, (2, 300), generator=generator)
        self.candidates[:5] = self.targets[:5]

    def precomputed(self, **settings: Any) -> PrecomputedCaptioner:
        return PrecomputedCaptioner(self.network, self.pooled, self.regions, **settings)

    def pairs(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        targets, candidates = self.targets[rows], self.candidates[rows]
        return (
            pair_features(self.pooled[targets], self.pooled[candidates]),
            pair_features(self.regions[targets], self.regions[candidates]),
        )

    def literal(self, dtype: torch.dtype = torch.float32) -> Tensor:
        captioner = LiteralCaptioner({name: w.to(dtype) for name, w in self.weights.items()}, self.architecture)
        return captioner.greedy(*(part.to(dtype) for part in self.pairs(torch.arange(len(self.targets)))))


@pytest.mark.parametrize("architecture", ALL)
def test_feedback_equals_a_literal_forward_pass_token_for_token(architecture: str) -> None:
    case = Case(architecture)
    expected = case.literal()
    assert len(expected.unique(dim=0)) > 30, "the pairs must not all get the same answer"
    assert torch.equal(case.precomputed().feedback(case.targets, case.candidates), expected)


@pytest.mark.parametrize("architecture", ["show_attend_tell", "att2in"])
@pytest.mark.parametrize("channels", [12, 40])
def test_regions_are_mixed_as_they_are_or_as_products_whichever_is_narrower(architecture: str, channels: int) -> None:
    case = Case(architecture, channels=channels)
    captioner = case.precomputed()
    products = 32 if architecture == "att2in" else 64
    encoded = captioner.start(case.targets[:5], case.candidates[:5]).encoded
    assert encoded.values is not None
    assert encoded.values.shape[2] == min(2 * channels, products)
    assert encoded.projected == (channels == 40)
    assert torch.equal(captioner.feedback(case.targets, case.candidates), case.literal())


@pytest.mark.parametrize("architecture", ALL)
def test_feedback_does_not_depend_on_batch_size_or_order(architecture: str) -> None:
    case = Case(architecture)
    captioner = case.precomputed()
    whole = captioner.feedback(case.targets, case.candidates)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(captioner.feedback(case.targets[order], case.candidates[order]), whole[order])
    for size in (1, 2, 3, 7, 50):
        parts = zip(case.targets[:60].split(size), case.candidates[:60].split(size), strict=True)
        assert torch.equal(torch.cat([captioner.feedback(*pair) for pair in parts]), whole[:60]), size


def test_words_that_rounding_cannot_tell_apart_are_decided_in_double_precision() -> None:
    """Twins of every word differ by less than single precision sees, so that batch shapes would decide."""
    case = Case("show_attend_tell")
    noise = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    case.weights["logit.weight"] = torch.cat([w := case.weights["logit.weight"], w[1:] + 2e-6 * noise])
    for name in ("logit.bias", "embed.weight"):
        case.weights[name] = torch.cat([case.weights[name], case.weights[name][1:]])
    case.network = import_released(case.weights, case.architecture)
    captioner = case.precomputed()
    exact = case.literal(torch.float64)
    assert (case.literal() != exact).any(), "single precision alone must get some wrong here"
    assert torch.equal(captioner.feedback(case.targets, case.candidates), exact)
    singles = zip(case.targets[:40].split(1), case.candidates[:40].split(1), strict=True)
    assert torch.equal(torch.cat([captioner.feedback(*pair) for pair in singles]), exact[:40])


def test_exactly_equal_words_give_the_lowest_token() -> None:
    case = Case("fc")
    for name in ("logit.weight", "logit.bias"):
        case.weights[name][21:41] = case.weights[name][1:21]
    case.network = import_released(case.weights, "fc")
    said = case.precomputed().feedback(case.targets, case.candidates)
    assert said.any()
    assert said.max() <= 20


@pytest.mark.parametrize("architecture", ["show_tell", "show_attend_tell", "topdown"])
def test_a_tight_memory_limit_is_kept_and_changes_no_answer(architecture: str) -> None:
    case = Case(architecture)
    roomy = case.precomputed()
    assert roomy.capacity == IMAGES
    expected = roomy.feedback(case.targets, case.candidates)
    limit = roomy.table_bytes + 4 * roomy.image_bytes + 1
    tight = case.precomputed(memory_limit=limit)
    assert tight.capacity == 4
    assert tight.memory_bytes <= limit
    assert torch.equal(tight.feedback(case.targets, case.candidates), expected)
    order = torch.arange(299, -1, -1)
    assert torch.equal(tight.feedback(case.targets[order], case.candidates[order]), expected[order])
    kept = sum(part.numel() * part.element_size() for role in tight._roles for part in role.kept if part is not None)
    table = tight._table.numel() * tight._table.element_size()
    assert kept + table == tight.memory_bytes


def test_the_images_asked_for_longest_ago_make_room() -> None:
    case = Case("show_tell")
    roomy = case.precomputed()
    tight = case.precomputed(memory_limit=roomy.table_bytes + 2 * roomy.image_bytes)
    read: list[int] = []
    original = tight._features.read

    def spy(images: Tensor, *settings: Any) -> Any:
        read.extend(images.tolist())
        return original(images, *settings)

    tight._features.read = spy  # type: ignore[method-assign]
    for target in (0, 1, 0, 2, 0, 1):
        tight.start(torch.tensor([target]), torch.tensor([5]))
    assert read == [0, 5, 1, 2, 1]


def test_a_limit_that_holds_no_pair_is_refused_with_the_bytes_needed() -> None:
    case = Case("show_attend_tell")
    needed = case.precomputed()
    with pytest.raises(ValueError, match=f"{needed.table_bytes} and one pair of images {needed.image_bytes}"):
        case.precomputed(memory_limit=needed.table_bytes + needed.image_bytes - 1)


def test_precomputing_reads_every_image_once_and_nothing_afterwards() -> None:
    case = Case("show_attend_tell")
    captioner = case.precomputed()
    captioner.precompute()
    expected = case.literal()

    def fail(*_: Any) -> Any:
        raise AssertionError("features were read again")

    captioner._features.read = fail  # type: ignore[method-assign]
    module_margin, module.MARGIN = module.MARGIN, 0.0  # without double precision, which reads features
    try:
        assert torch.equal(captioner.feedback(case.targets[:64], case.candidates[:64]), expected[:64])
    finally:
        module.MARGIN = module_margin


def test_features_may_lie_in_an_hdf5_file_as_a_grid(tmp_path: Path) -> None:
    case = Case("show_attend_tell")
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["pooled"] = case.pooled.numpy()
        file["regions"] = case.regions.reshape(IMAGES, 3, 3, -1).numpy()
    expected = case.literal()
    with h5py.File(tmp_path / "features.h5") as file:
        captioner = PrecomputedCaptioner(case.network, file["pooled"], file["regions"])
        assert torch.equal(captioner.feedback(case.targets, case.candidates), expected)


def test_any_decoding_starts_from_precomputed_products() -> None:
    case = Case("topdown")
    rows = torch.arange(20)
    literal = beam_search(start_speaking(case.network, *case.pairs(rows)), 3).tokens
    found = beam_search(case.precomputed().start(case.targets[rows], case.candidates[rows]), 3).tokens
    assert torch.equal(found, literal)


def test_feedback_can_take_part_in_training() -> None:
    case = Case("show_tell")
    tokens = case.precomputed().feedback(case.targets[:3], case.candidates[:3])
    embedding = torch.nn.Embedding(41, 4)
    embedding(tokens).sum().backward()
    assert embedding.weight.grad is not None


def test_a_pair_costs_less_than_a_twentieth_of_the_arithmetic_of_a_literal_pass() -> None:
    """The clock is left to the benchmark; the products saved are counted here, at a tenth of the paper's size."""
    case = Case("show_attend_tell", channels=205, hidden=51, words=100, regions=49)
    captioner = case.precomputed()
    captioner.precompute()
    rows = torch.arange(16)
    literal = LiteralCaptioner(case.weights, case.architecture)
    with FlopCounterMode(display=False) as plain:
        expected = literal.greedy(*case.pairs(rows))
    with FlopCounterMode(display=False) as quick:
        said = captioner.feedback(case.targets[rows], case.candidates[rows])
    assert torch.equal(said, expected)
    assert plain.get_total_flops() > 20 * quick.get_total_flops()


def test_unfit_features_and_positions_are_refused() -> None:
    case = Case("show_attend_tell")
    with pytest.raises(ValueError, match="needs region features"):
        PrecomputedCaptioner(case.network, case.pooled)
    with pytest.raises(ValueError, match="made for 12 channels"):
        PrecomputedCaptioner(case.network, case.pooled[:, :-1], case.regions)
    with pytest.raises(ValueError, match="give both for all"):
        PrecomputedCaptioner(case.network, case.pooled, case.regions[1:])
    with pytest.raises(ValueError, match=r"float32 or torch\.float64"):
        case.precomputed(dtype=torch.float16)
    case.regions[4, 2, 1] = torch.nan
    captioner = case.precomputed()
    with pytest.raises(ValueError, match="features of image 4 are not finite"):
        captioner.feedback(torch.tensor([1, 2]), torch.tensor([4, 3]))
    with pytest.raises(ValueError, match=r"outside 0\.\.29"):
        captioner.feedback(torch.tensor([30]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"must both be \(B,\)"):
        captioner.feedback(torch.tensor([3]), torch.tensor([0, 1]))
    assert captioner.feedback(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64)).shape == (0, 16)
