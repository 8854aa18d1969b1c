"""The seven captioners: golden traces, import, training hooks, files."""

from __future__ import annotations

import argparse
import hashlib
import math
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from dialog_env.io import checkpoint
from dialog_env.simulators.captioner import (
    ARCHITECTURES,
    Captioner,
    Sizes,
    beam_search,
    greedy,
    import_released,
    load_captioner,
    make_captioner,
    masked_loss,
    pair_features,
    read_released_captioner,
    read_released_options,
    save_captioner,
    start_speaking,
)
from dialog_env.world.vocabulary import Vocabulary
from tests.damage import flipped, refusal
from tests.golden.traces import CUT, FLOOR, RELATIVE
from tests.literal_captioner import LiteralCaptioner, random_released

ALL = sorted(ARCHITECTURES)
WITH_REGIONS = [name for name in ALL if ARCHITECTURES[name].needs_regions]
SMALL = {"pooled": 6, "regions": 5, "hidden": 8, "words": 11}


class Golden:
    """One architecture of the recorded traces, its features as pairs."""

    def __init__(self, architecture: str) -> None:
        with h5py.File(CUT) as recorded:
            file = recorded["captioners"]
            self.arrays = {name: file[name][:] for name in file if isinstance(file[name], h5py.Dataset)}
            group = file[architecture]
            self.arrays |= {name: group[name][()] for name in group if isinstance(group[name], h5py.Dataset)}
            self.weights = {name: torch.from_numpy(data[()]) for name, data in group["weights"].items()}
        self.pooled = pair_features(self["target_pooled"], self["reference_pooled"])
        self.regions = pair_features(self["target_regions"], self["reference_regions"]).flatten(1, 2)
        self.network = import_released(self.weights, architecture)
        steps = self["teacher_forced_logprobs"].shape[1]
        self.tokens = self["labels"][:, 1:steps]

    def __getitem__(self, name: str) -> Tensor:
        values = torch.from_numpy(np.asarray(self.arrays[name]))
        return values if values.is_floating_point() else values.long()


def small(architecture: str, seed: int = 0, width: int = 8) -> Captioner:
    sizes = Sizes(words=11, pooled=6, regions=5, hidden=width, embedding=width, attention=7)
    return make_captioner(architecture, sizes, torch.Generator().manual_seed(seed))


def features(rows: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.rand(2, rows, 6, generator=generator)
    regions = torch.rand(2, rows, 4, 5, generator=generator)
    return pair_features(pooled[0], pooled[1]), pair_features(regions[0], regions[1])


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("architecture", ALL)
def test_teacher_forcing_and_loss_agree_with_the_golden_trace(architecture: str) -> None:
    golden = Golden(architecture)
    with torch.no_grad():
        found = golden.network(golden.pooled, golden.regions, golden.tokens)
    torch.testing.assert_close(found, golden["teacher_forced_logprobs"], rtol=RELATIVE, atol=FLOOR)
    loss = masked_loss(found, golden.tokens)
    assert float(loss) == pytest.approx(float(golden["teacher_forced_loss"]), rel=RELATIVE, abs=FLOOR)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("architecture", ALL)
def test_greedy_decoding_agrees_with_the_golden_trace(architecture: str) -> None:
    golden = Golden(architecture)
    start = start_speaking(golden.network, golden.pooled, golden.regions)
    found = greedy(start, log_probabilities=True)
    assert found.log_probabilities is not None
    assert torch.equal(found.tokens, golden["greedy_tokens"])
    spoken = F.pad(found.tokens[:, :-1] != 0, (1, 0), value=True).cumprod(1).bool()  # up to the end
    recorded = golden["greedy_logprobs"]
    torch.testing.assert_close(found.log_probabilities[spoken], recorded[spoken], rtol=RELATIVE, atol=FLOOR)
    assert not found.log_probabilities[~spoken].any()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("architecture", ALL)
def test_beam_search_agrees_with_the_golden_trace(architecture: str) -> None:
    golden = Golden(architecture)
    start = start_speaking(golden.network, golden.pooled, golden.regions)
    assert torch.equal(beam_search(start, 3).tokens, golden["beam3_tokens"])


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("architecture", ALL)
def test_the_literal_captioner_agrees_with_the_golden_trace(architecture: str) -> None:
    golden = Golden(architecture)
    literal = LiteralCaptioner(golden.weights, architecture)
    assert torch.equal(literal.greedy(golden.pooled, golden.regions), golden["greedy_tokens"])
    found = literal.log_probabilities(golden.pooled, golden.regions, golden.tokens)
    torch.testing.assert_close(found, golden["teacher_forced_logprobs"], rtol=RELATIVE, atol=FLOOR)


@pytest.mark.parametrize("architecture", ALL)
def test_imported_weights_compute_what_the_released_ones_do(architecture: str) -> None:
    """Without the reference data at hand, the literal captioner stands for the released code."""
    weights = random_released(architecture, torch.Generator().manual_seed(0), sharpness=2.0, **SMALL)
    pooled, regions = features(5)
    tokens = torch.randint(12, (5, 6), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = import_released(weights, architecture)(pooled, regions, tokens)
    expected = LiteralCaptioner(weights, architecture).log_probabilities(pooled, regions, tokens)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_released_weights_survive_a_checkpoint_file(tmp_path: Path) -> None:
    weights = random_released("topdown", torch.Generator().manual_seed(0), **SMALL)
    torch.save(weights, tmp_path / "model.pth")
    words = {str(token): word for token, word in enumerate((*"abcdefghij", "UNK"), 1)}
    options = argparse.Namespace(caption_model="topdown")
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps({"opt": options, "vocab": words}, 2))
    found = read_released_captioner(tmp_path / "model.pth", tmp_path / "infos.pkl")
    pooled, regions = features(3)
    said = greedy(start_speaking(found.network, pooled, regions)).tokens
    assert torch.equal(said, LiteralCaptioner(weights, "topdown").greedy(pooled, regions))
    assert found.vocabulary == VOCABULARY
    digests = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("model.pth", "infos.pkl")}
    assert found.provenance == {"released files, sha256": digests}
    for spoiled in flipped((tmp_path / "model.pth").read_bytes(), seed=1, count=40):
        (tmp_path / "model.pth").write_bytes(spoiled)
        sentence = refusal(read_released_captioner, tmp_path / "model.pth", tmp_path / "infos.pkl")
        assert not sentence or sentence.startswith(str(tmp_path / "model.pth"))
    torch.save(
        random_released("topdown", torch.Generator().manual_seed(0), **{**SMALL, "words": 12}), tmp_path / "more"
    )
    with pytest.raises(ValueError, match=r"more: the captioner knows 12 words, its vocabulary has 11"):
        read_released_captioner(tmp_path / "more", tmp_path / "infos.pkl")


@pytest.mark.parametrize(("given", "asked"), [("show_tell", "fc"), ("fc", "show_tell"), ("att2in2", "att2in")])
def test_weights_of_another_architecture_are_refused(given: str, asked: str) -> None:
    weights = random_released(given, torch.Generator().manual_seed(0), **SMALL)
    with pytest.raises(ValueError, match=f"not of {asked}"):
        import_released(weights, asked)


def test_released_weights_with_an_extra_layer_or_nan_are_refused() -> None:
    weights = random_released("show_tell", torch.Generator().manual_seed(0), **SMALL)
    with pytest.raises(ValueError, match="weight_ih_l1"):
        import_released(weights | {"core.weight_ih_l1": torch.zeros(32, 8)}, "show_tell")
    weights["logit.bias"][3] = math.nan
    with pytest.raises(ValueError, match=r"logit\.bias.*finite"):
        import_released(weights, "show_tell")


@pytest.mark.parametrize("architecture", ALL)
def test_new_weights_come_from_the_generator_alone(architecture: str) -> None:
    before = torch.get_rng_state()
    first, again, other = small(architecture, 3), small(architecture, 3), small(architecture, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.logit.weight, other.logit.weight)
    assert all(torch.isfinite(weight).all() for weight in first.parameters())


@pytest.mark.parametrize("architecture", ALL)
def test_every_weight_is_trained_and_the_loss_falls(architecture: str) -> None:
    network = small(architecture, width=32).train()
    network.draw_from(torch.Generator().manual_seed(5))
    pooled, regions = features(16)
    tokens = torch.zeros(16, 6, dtype=torch.int64)
    tokens[:, :3] = torch.arange(1, 4)  # "1 2 3" whatever the pair, easy to learn
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(100):
        loss = masked_loss(network(pooled, regions, tokens), tokens)
        optimizer.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        if len(losses) == 1:
            untouched = [name for name, weight in network.named_parameters() if weight.grad is None]
            assert untouched == []
            assert all(weight.grad.any() for weight in network.parameters() if weight.grad is not None)
        optimizer.step()
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    said = greedy(start_speaking(network.eval(), pooled, regions)).tokens
    assert (said[:, :3] == torch.arange(1, 4)).float().mean() > 0.8


@pytest.mark.parametrize("architecture", ALL)
def test_dropout_draws_from_the_generator_that_was_handed_in(architecture: str) -> None:
    network = small(architecture).train()
    pooled, regions = features(4)
    tokens = torch.ones(4, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="draw_from"):
        network(pooled, regions, tokens)
    outputs = []
    for seed in (1, 1, 2):
        network.draw_from(torch.Generator().manual_seed(seed))
        outputs.append(network(pooled, regions, tokens))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_masked_loss_counts_words_and_one_end() -> None:
    scores = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    tokens = torch.tensor([[3, 1, 0, 0], [2, 2, 1, 3]])
    first = [scores[0, 0, 3], scores[0, 1, 1], scores[0, 2, 0]]
    second = [scores[1, 0, 2], scores[1, 1, 2], scores[1, 2, 1], scores[1, 3, 3], scores[1, 4, 0]]
    expected = -torch.stack(first + second).mean()
    torch.testing.assert_close(masked_loss(scores, tokens), expected)


@pytest.mark.parametrize("architecture", WITH_REGIONS)
def test_missing_or_unfit_regions_are_refused(architecture: str) -> None:
    network = small(architecture)
    pooled, regions = features(2)
    with pytest.raises(ValueError, match=f"{architecture} needs region features"):
        start_speaking(network, pooled, None)
    with pytest.raises(ValueError, match="made for 10 channels"):
        start_speaking(network, pooled, regions[..., :-1])


def test_sizes_that_cannot_be_are_refused() -> None:
    generator = torch.Generator()
    with pytest.raises(ValueError, match="known are"):
        make_captioner("lstm", Sizes(words=3, pooled=2), generator)
    with pytest.raises(ValueError, match="region features"):
        make_captioner("topdown", Sizes(words=3, pooled=2), generator)
    with pytest.raises(ValueError, match="must be equal"):
        make_captioner("adaatt", Sizes(words=3, pooled=2, regions=2, hidden=4, embedding=5), generator)
    with pytest.raises(ValueError, match="words is 0"):
        Sizes(words=0, pooled=2)
    with pytest.raises(ValueError, match="dropout"):
        Sizes(words=1, pooled=2, dropout=1.0)


VOCABULARY = Vocabulary((*"abcdefghij", "UNK"))


@pytest.mark.parametrize("architecture", ALL)
def test_a_saved_captioner_speaks_as_before(architecture: str, tmp_path: Path) -> None:
    network = small(architecture)
    path = tmp_path / "captioner.safetensors"
    save_captioner(path, network, VOCABULARY, {"seed": 3, "catalog": "tiny"})
    loaded = load_captioner(path, architecture=architecture, vocabulary=VOCABULARY)
    pooled, regions = features(6)
    tokens = [greedy(start_speaking(one, pooled, regions)).tokens for one in (network, loaded.network)]
    assert torch.equal(*tokens)
    assert loaded.network.sizes == network.sizes
    assert loaded.vocabulary == VOCABULARY
    assert loaded.provenance == {"seed": 3, "catalog": "tiny"}
    assert [file.name for file in tmp_path.iterdir()] == ["captioner.safetensors"]


def test_the_fingerprint_changes_with_a_weight_and_with_a_word(tmp_path: Path) -> None:
    network = small("fc")

    def fingerprint(vocabulary: Vocabulary = VOCABULARY) -> str:
        save_captioner(tmp_path / "one", network, vocabulary)
        return load_captioner(tmp_path / "one").fingerprint

    before = fingerprint()
    assert fingerprint() == before
    assert fingerprint(Vocabulary((*"xbcdefghij", "UNK"))) != before
    with torch.no_grad():
        network.logit.bias[0] += 1e-6
    assert fingerprint() != before


def test_a_captioner_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "captioner.safetensors"
    save_captioner(path, small("fc"), VOCABULARY)
    with pytest.raises(ValueError, match="holds a fc captioner, not topdown"):
        load_captioner(path, architecture="topdown")
    with pytest.raises(ValueError, match="use the vocabulary"):
        load_captioner(path, vocabulary=Vocabulary((*"abcdefghik", "UNK")))
    with pytest.raises(FileNotFoundError, match="no captioner"):
        load_captioner(tmp_path / "nothing")
    with pytest.raises(ValueError, match="its vocabulary has 2"):
        save_captioner(path, small("fc"), Vocabulary(("a", "UNK")))
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("no weights")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-100])
    for name in ("other.safetensors", "text", "cut"):
        with pytest.raises(ValueError, match=rf"{name} .*is.* no captioner"):
            load_captioner(tmp_path / name)


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    path = tmp_path / "captioner.safetensors"
    network = small("show_tell")
    save_captioner(path, network, VOCABULARY)
    whole = path.read_bytes()
    saved = checkpoint.read(path)
    checkpoint.write(path, {**saved.tensors, "logit.bias": torch.full((11 + 1,), math.nan)}, saved.facts)
    with pytest.raises(ValueError, match=r"NaN or infinite numbers in 'logit\.bias'"):
        load_captioner(path)
    path.write_bytes(whole)
    with torch.no_grad():
        network.logit.bias.fill_(math.inf)
    with pytest.raises(ValueError, match="not finite"):
        save_captioner(path, network, VOCABULARY)
    assert path.read_bytes() == whole


def released_options(**changes: object) -> dict[str, object]:
    options = argparse.Namespace(caption_model="show_attend_tell", rnn_size=512, drop_prob_lm=0.5, start_from=None)
    words = {str(token): word for token, word in enumerate(("are", "is", "né", "UNK"), 1)}
    best = np.float64(1.5)
    return {"opt": options, "vocab": words, "iter": 7, "best": best, "ix": [{"a": (1, 2, 3, 4)}], **changes}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_released_option_file_is_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps(released_options(), protocol))
    found = read_released_options(path)
    assert found.architecture == "show_attend_tell"
    assert found.vocabulary.words == ("are", "is", "né", "UNK")
    assert found.options["rnn_size"] == 512
    assert found.options["drop_prob_lm"] == 0.5


def test_an_option_file_written_by_python_2_is_read(tmp_path: Path) -> None:
    text = (
        "(dp0\nS'opt'\np1\nccopy_reg\n_reconstructor\np2\n(cargparse\nNamespace\np3\nc__builtin__\nobject\np4\nNtp5\n"
        "Rp6\n(dp7\nS'caption_model'\np8\nS'att2in2'\np9\nsS'rnn_size'\nI512\nsbsS'vocab'\n(dV1\nVred\nsV2\nVUNK\nss."
    )
    (tmp_path / "infos.pkl").write_text(text)
    found = read_released_options(tmp_path / "infos.pkl")
    assert found.architecture == "att2in2"
    assert found.vocabulary.words == ("red", "UNK")
    assert found.options == {"caption_model": "att2in2", "rnn_size": 512}


class Malicious:
    """Would create a file if anything called what its pickle names."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call  # type: ignore[return-value]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", ["os", "eval", "namespace", "path"])
def test_a_malicious_option_file_is_refused_and_runs_nothing(kind: str, protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    payload = {
        "os": Malicious(__import__("os").system, f"touch {trace}"),
        "eval": Malicious(eval, f"open({str(trace)!r}, 'w')"),
        "namespace": released_options(best=Malicious(exec, f"open({str(trace)!r}, 'w')")),
        "path": Malicious(Path.touch, trace),
    }[kind]
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(payload, protocol))
    with pytest.raises(ValueError, match="do not trust it"):
        read_released_options(tmp_path / "infos.pkl")
    assert not trace.exists()
    if kind == "namespace":
        pickle.loads((tmp_path / "infos.pkl").read_bytes())
        assert trace.exists(), "an ordinary reader would have run it"


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04", b"hello", b"(dp0\nS'opt'\n", b"].", b"}.", b"0.", b"a.", b"h\x05.", b"S'a'\n}R.", b"Pid\n."],
)
def test_a_damaged_option_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "infos.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"infos\.pkl"):
        read_released_options(tmp_path / "infos.pkl")


@pytest.mark.parametrize("words", [{"1": "a", "3": "UNK"}, {"one": "a"}, {"1": "a", "2": "b"}, {}])
def test_an_option_file_without_a_whole_vocabulary_is_refused(words: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(released_options(vocab=words)))
    with pytest.raises(ValueError, match=r"vocabulary|token"):
        read_released_options(tmp_path / "infos.pkl")
