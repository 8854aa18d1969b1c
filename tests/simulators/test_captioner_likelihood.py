"""How likely a captioner is to say a sentence."""

from __future__ import annotations

import pytest
import torch

from dialog_env.simulators.captioner import ARCHITECTURES, sample, start_speaking
from dialog_env.simulators.captioner.decoding import log_likelihood
from dialog_env.world.vocabulary import MAX_WORDS
from tests.simulators.test_captioners_decoding import begin, teacher_forced
from tests.simulators.test_captioners_precomputed import Case


def test_it_is_the_sum_of_the_teacher_forced_log_probabilities_up_to_the_end() -> None:
    for sharpness in (1.0, 3.0):
        said = sample(begin(sharpness=sharpness), torch.Generator().manual_seed(0))
        expected = teacher_forced(begin(sharpness=sharpness), 24, said.tokens).double().sum(dim=1)
        found = log_likelihood(begin(sharpness=sharpness), said.tokens)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert said.log_probabilities is not None
        torch.testing.assert_close(found, said.log_probabilities.double().sum(dim=1), rtol=1e-5, atol=1e-5)


def test_words_after_the_end_play_no_part_and_a_full_sentence_has_no_end() -> None:
    tokens = torch.randint(1, 12, (24, MAX_WORDS), generator=torch.Generator().manual_seed(0))
    full = log_likelihood(begin(), tokens)
    torch.testing.assert_close(full, teacher_forced(begin(), 24, tokens).double().sum(dim=1), rtol=1e-5, atol=1e-5)
    cut = tokens.clone()
    cut[:, 5:] = 0
    ended = log_likelihood(begin(), cut)
    tokens[:, 5] = 0
    torch.testing.assert_close(log_likelihood(begin(), tokens), ended)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_what_is_kept_of_images_gives_the_likelihood_of_a_plain_pass(architecture: str) -> None:
    case = Case(architecture)
    captioner = case.precomputed()
    tokens = captioner.feedback(case.targets, case.candidates).roll(1, dims=0)
    found = captioner.log_likelihood(tokens, case.targets, case.candidates)
    plain = log_likelihood(start_speaking(case.network, *case.pairs(torch.arange(300))), tokens)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
    alone = captioner.log_likelihood(tokens[:1], case.targets[:1], case.candidates[:1])
    torch.testing.assert_close(alone, found[:1], rtol=1e-4, atol=1e-4)
    assert captioner.log_likelihood(tokens[:0], case.targets[:0], case.candidates[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"must be \(300, 16\)"):
        captioner.log_likelihood(tokens[:, :3], case.targets, case.candidates)
    with pytest.raises(ValueError, match=r"outside 0\.\.29"):
        captioner.log_likelihood(tokens, case.targets + 30, case.candidates)
