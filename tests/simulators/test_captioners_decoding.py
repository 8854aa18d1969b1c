"""Greedy decoding, sampling and beam search."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dialog_env.simulators.captioner import (
    Captioner,
    Start,
    beam_search,
    greedy,
    import_released,
    pair_features,
    sample,
    start_speaking,
)
from tests.literal_captioner import random_released

WORDS = 11


def network(sharpness: float = 3.0, words: int = WORDS) -> Captioner:
    generator = torch.Generator().manual_seed(0)
    sizes = {"pooled": 6, "regions": 5, "hidden": 8, "words": words}
    return import_released(random_released("att2in2", generator, sharpness=sharpness, **sizes), "att2in2")


def regions(rows: int) -> Tensor:
    drawn = torch.randn(2, rows, 4, 5, generator=torch.Generator().manual_seed(1))
    return pair_features(drawn[0], drawn[1])


def begin(rows: int = 24, sharpness: float = 3.0, words: int = WORDS) -> Start:
    return start_speaking(network(sharpness, words), None, regions(rows))


def teacher_forced(start: Start, rows: int, tokens: Tensor) -> Tensor:
    """Log-probabilities (B, L) of the tokens up to the end."""
    with torch.no_grad():
        scores = start.network(None, regions(rows), tokens)[:, : tokens.shape[1]]
    chosen = scores.gather(2, tokens.unsqueeze(2)).squeeze(2)
    return chosen * F.pad(tokens[:, :-1] != 0, (1, 0), value=True).cumprod(1)


def test_the_sentences_of_these_tests_differ_and_end() -> None:
    tokens = greedy(begin()).tokens
    assert len(tokens.unique(dim=0)) > 5
    lengths = (tokens != 0).sum(1)
    assert lengths.min() < lengths.max()


def test_nothing_follows_the_end_of_a_sentence() -> None:
    generator = torch.Generator().manual_seed(0)
    for tokens in (greedy(begin()).tokens, sample(begin(), generator).tokens, beam_search(begin()).tokens):
        spoken = tokens != 0
        assert torch.equal(spoken, spoken.cumprod(1).bool())


def test_going_on_to_the_last_position_changes_nothing_that_is_said() -> None:
    shorter, whole = (greedy(begin(), margin=0.05, to_the_end=end, log_probabilities=True) for end in (False, True))
    assert torch.equal(whole.tokens, shorter.tokens)
    assert whole.doubtful is not None
    assert shorter.doubtful is not None
    assert torch.equal(whole.doubtful, shorter.doubtful)
    assert 0 < int(whole.doubtful.sum()) < len(whole.doubtful)
    assert whole.log_probabilities is not None
    assert shorter.log_probabilities is not None
    torch.testing.assert_close(whole.log_probabilities, shorter.log_probabilities)


def test_log_probabilities_are_those_of_teacher_forcing() -> None:
    start = begin()
    for said in (
        greedy(start, log_probabilities=True),
        sample(start, torch.Generator().manual_seed(0)),
        beam_search(start, 4, choose="likeliest"),
    ):
        assert said.log_probabilities is not None
        expected = teacher_forced(start, 24, said.tokens)
        kept = (said.tokens != WORDS).all(1)  # beam search lowers UNK
        assert kept.any()
        torch.testing.assert_close(said.log_probabilities[kept], expected[kept], rtol=1e-4, atol=1e-5)


def test_a_sentence_does_not_depend_on_the_others_in_the_batch() -> None:
    start, whole = begin(), greedy(begin()).tokens
    for rows in (torch.tensor([5]), torch.arange(23, -1, -1), torch.tensor([3, 3, 17])):
        part = Start(start.network, start.encoded.take(rows), tuple(one[rows] for one in start.state))
        assert torch.equal(greedy(part).tokens, whole[rows])
        assert torch.equal(beam_search(part).tokens, beam_search(start).tokens[rows])


def test_sampling_repeats_with_the_generator_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (sample(begin(), torch.Generator().manual_seed(seed)).tokens for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_word_or_a_cold_temperature_is_greedy() -> None:
    expected = greedy(begin()).tokens
    generator = torch.Generator().manual_seed(0)
    for settings in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-7}):
        assert torch.equal(sample(begin(), generator, **settings).tokens, expected), settings


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.7}, {"top_k": 5, "top_p": 0.8, "temperature": 1.5}]
)
def test_words_are_drawn_as_often_as_their_probability_says(settings: dict[str, float]) -> None:
    rows, one = 20_000, begin(1, sharpness=1.0)
    probability = _kept_by_hand(teacher_forced_first(one), **settings)
    start = Start(
        one.network,
        one.encoded.take(torch.zeros(rows, dtype=torch.int64)),
        tuple(part.expand(rows, -1) for part in one.state),
    )
    said = sample(start, torch.Generator().manual_seed(3), **settings)  # type: ignore[arg-type]
    assert said.log_probabilities is not None
    counted = torch.bincount(said.tokens[:, 0], minlength=WORDS + 1) / rows
    assert (probability > 0.02).sum() > 1
    assert (counted - probability).abs().max() < 0.015
    assert not counted[probability == 0].any()
    expected = probability.log()[said.tokens[:, 0]]
    torch.testing.assert_close(said.log_probabilities[:, 0], expected, rtol=1e-4, atol=1e-5)


def teacher_forced_first(start: Start) -> Tensor:
    with torch.no_grad():
        logits, _ = start.step(torch.zeros(1, dtype=torch.int64), start.encoded, start.state)
    return logits[0]


def _kept_by_hand(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Probabilities of the first word, by a loop over the words."""
    probability = torch.softmax(logits / temperature, dim=0)
    order = probability.argsort(descending=True).tolist()[: top_k or None]
    total = sum(float(probability[word]) for word in order)
    kept, mass = torch.zeros_like(probability), 0.0
    for word in order:
        kept[word] = probability[word]
        mass += float(probability[word]) / total
        if top_p is not None and mass >= top_p:
            break
    return kept / kept.sum()


def test_one_beam_is_greedy_without_unk() -> None:
    start = begin()
    found = beam_search(start, 1).tokens
    start.network.logit.bias.data[-1] -= 1000
    assert torch.equal(found, greedy(start).tokens)


def test_a_wide_beam_finds_the_likeliest_short_sentence() -> None:
    """With three words, all sentences that end within three words are compared by hand."""
    start = begin(4, sharpness=3.0, words=3)
    start.network.logit.bias.data[0] += 6  # sentences end soon, so that the likeliest is among the short ones
    found = beam_search(start, 4, choose="likeliest")
    assert found.log_probabilities is not None
    sentences = torch.tensor(
        [(*words, *(0,) * (4 - len(words))) for size in range(4) for words in itertools.product((1, 2), repeat=size)]
    )
    for row in range(4):
        alone = regions(4)[row : row + 1].expand(len(sentences), -1, -1)
        with torch.no_grad():
            scores = start.network(None, alone, sentences)[:, :4].gather(2, sentences.unsqueeze(2)).squeeze(2)
        summed = (scores * F.pad(sentences[:, :-1] != 0, (1, 0), value=True).cumprod(1)).sum(1)
        best = int(summed.argmax())
        assert found.tokens[row, :4].tolist() == sentences[best].tolist()
        assert float(found.log_probabilities[row].sum()) == pytest.approx(float(summed[best]), rel=1e-4)


def test_the_likeliest_ended_beam_is_at_least_as_likely_as_the_first() -> None:
    first, best = (beam_search(begin(), 3, choose=how).log_probabilities for how in ("first", "likeliest"))  # type: ignore[arg-type]
    assert first is not None
    assert best is not None
    assert (best.sum(1) >= first.sum(1) - 1e-5).all()


def test_close_words_are_marked_and_equal_ones_give_the_lowest_token() -> None:
    start = begin()
    assert not greedy(start, margin=1e-7).doubtful.any()  # type: ignore[union-attr]
    logit = start.network.logit
    with torch.no_grad():  # token 7 becomes a twin of every likely first word
        best = int(greedy(start).tokens[0, 0])
        logit.weight[WORDS], logit.bias[WORDS] = logit.weight[best], logit.bias[best]
    said = greedy(start, margin=1e-7, tie=1e-6)
    assert said.doubtful is not None
    assert said.doubtful[0]
    assert not (said.tokens == WORDS).any()


def test_settings_that_make_no_sense_are_refused() -> None:
    generator = torch.Generator()
    for settings, message in (
        ({"temperature": 0.0}, "temperature is 0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            sample(begin(), generator, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="13 beams"):
        beam_search(begin(), 13)
    with pytest.raises(ValueError, match="training mode"):
        start_speaking(network().train(), None, regions(2))
