"""Sentences from captioners: greedy, sampled, and by beam search."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dialog_env.simulators.captioner.architectures.network import Captioner, EncodedPair, RecurrentState
from dialog_env.world.vocabulary import MAX_WORDS

STILL_SPEAKING = 3 / 4
"""When no more than this share of the dialogs goes on, the others are left out. With 1/2 a CPU took 3% longer for 256
pairs of the drawn catalogue, with 9/10 as long."""


class Start(NamedTuple):
    """A captioner that is about to speak about B pairs.

    Attributes:
        network: in evaluation mode.
        encoded: what it looks at.
        state: before the first word.
        table: (V + 1, G) what every word feeds into the gates, where that was computed before; otherwise None.
    """

    network: Captioner
    encoded: EncodedPair
    state: RecurrentState
    table: Tensor | None = None

    def step(self, tokens: Tensor, encoded: EncodedPair, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Tokens (B,) said last -> logits (B, V + 1) of the next one, and the next state."""
        words = self.network.word_gates(tokens) if self.table is None else self.table[tokens]
        hidden, state = self.network.step(words, encoded, state)
        logits: Tensor = self.network.logit(hidden)
        return logits, state


class Sentences(NamedTuple):
    """What was said.

    Attributes:
        tokens: (B, 16) int64, 0 after the last word.
        log_probabilities: (B, 16) of every token up to the end (its 0 included), 0 after it; None unless asked for.
        doubtful: (B,) bool, whether some word won by less than the margin; None unless one was given.
    """

    tokens: Tensor
    log_probabilities: Tensor | None = None
    doubtful: Tensor | None = None


def start_speaking(network: Captioner, pooled: Tensor | None, regions: Tensor | None) -> Start:
    """Prepares a captioner for pairs.

    Args:
        network: the captioner.
        pooled: (B, 2D) `pair_features` of pooled features.
        regions: (B, R, 2C) `pair_features` of region features; None for an architecture that needs none.

    Raises:
        ValueError: a network in training mode, or features that do not fit it.
    """
    if network.training:
        raise ValueError("the captioner is in training mode; call eval() before it speaks")
    encoded, state = network.begin(pooled, regions)
    return Start(network, encoded, state)


@torch.no_grad()
def greedy(
    start: Start,
    *,
    log_probabilities: bool = False,
    margin: float | None = None,
    tie: float = 0.0,
    to_the_end: bool = False,
) -> Sentences:
    """The likeliest word at every position, the lowest token among equals.

    Args:
        start: from `start_speaking` or `PrecomputedCaptioner.start`.
        log_probabilities: whether to return those of the tokens.
        margin: marks a sentence as doubtful if a word leads the second by less than this share of the spread of all
            logits.
        tie: words within this many nats of the best one count as its equals.
        to_the_end: makes all 16 steps for every pair and never waits to hear who has ended, as a recording of a
            graphics card needs it. What is said is the same.
    """
    encoded, state = start.encoded, start.state
    rows = len(state[0])
    tokens = state[0].new_zeros(rows, MAX_WORDS, dtype=torch.int64)
    logs = state[0].new_zeros(rows, MAX_WORDS) if log_probabilities else None
    doubtful = None if margin is None else tokens.new_zeros(rows, dtype=torch.bool)
    speaking: Tensor | slice = slice(None)  # dialogs that `memory` and `state` belong to
    ended: Tensor | None = None  # which of them have ended, None while none has
    said = tokens.new_zeros(rows)
    for position in range(MAX_WORDS):
        logits, state = start.step(said, encoded, state)
        best, said = logits.max(dim=1)
        if tie:
            said = (logits >= best.unsqueeze(1) - tie).int().argmax(dim=1)
        if ended is not None:
            said = said.masked_fill(ended, 0)
        tokens[speaking, position] = said
        if logs is not None:
            chosen = torch.log_softmax(logits, dim=1).gather(1, said.unsqueeze(1)).squeeze(1)
            logs[speaking, position] = chosen if ended is None else chosen.masked_fill(ended, 0)
        if doubtful is not None and margin is not None:
            bar = torch.lerp(best, logits.amin(dim=1), margin)
            close = (logits >= bar.unsqueeze(1)).sum(dim=1) > 1
            doubtful[speaking] |= close if ended is None else close & ~ended
        if to_the_end:
            ended = said == 0
            continue
        left = int(said.count_nonzero())
        if not left:
            break
        # Leaving out ended dialogs copies the memory of the others, which pays when enough have ended.
        if left <= STILL_SPEAKING * len(said):
            kept = said.nonzero().squeeze(1)
            speaking, said = kept if isinstance(speaking, slice) else speaking[kept], said[kept]
            encoded, state = encoded.take(kept), tuple(part[kept] for part in state)
        ended = None if left == len(said) else said == 0
    return Sentences(tokens, logs, doubtful)


@torch.no_grad()
def sample(
    start: Start,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Sentences:
    """Words drawn from the captioner's distribution.

    Every dialog has its own sixteen numbers of the generator, so its sentence does not depend on when others end.

    Args:
        start: from `start_speaking` or `PrecomputedCaptioner.start`.
        generator: of any device.
        temperature: logits are divided by it.
        top_k: keeps the k likeliest words.
        top_p: nucleus, keeps the fewest likeliest words that together have at least this probability.

    Returns:
        Tokens and their log-probabilities under the distribution that they were drawn from.

    Raises:
        ValueError: a temperature that is not above 0, a top_k below 1, or a top_p outside (0, 1].
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; give a number above 0, or decode greedily")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; keep at least 1 word")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; give a probability in (0, 1]")
    encoded, state = start.encoded, start.state
    rows = len(state[0])
    drawn = torch.rand(rows, MAX_WORDS, generator=generator, device=generator.device).to(state[0].device)
    tokens = state[0].new_zeros(rows, MAX_WORDS, dtype=torch.int64)
    logs = state[0].new_zeros(rows, MAX_WORDS)
    speaking = torch.ones(rows, dtype=torch.bool, device=tokens.device)
    said = tokens.new_zeros(rows)
    for position in range(MAX_WORDS):
        logits, state = start.step(said, encoded, state)
        kept, order = _keep_likeliest(logits / temperature, top_k, top_p)
        cumulative = kept.softmax(dim=1).cumsum(dim=1)
        # Scaled to the last sum, so that rounding never leaves a number beyond all words.
        reached = (cumulative <= drawn[:, position : position + 1] * cumulative[:, -1:]).sum(dim=1, keepdim=True)
        reached = torch.minimum(reached, (kept > -torch.inf).sum(dim=1, keepdim=True) - 1)
        chosen = kept.log_softmax(dim=1).gather(1, reached).squeeze(1)
        said = order.gather(1, reached).squeeze(1).masked_fill(~speaking, 0)
        tokens[:, position] = said
        logs[:, position] = chosen.masked_fill(~speaking, 0)
        speaking = speaking & (said != 0)
        if not speaking.any():
            break
    return Sentences(tokens, logs)


@torch.no_grad()
def log_likelihood(start: Start, tokens: Tensor) -> Tensor:
    """How likely it is to say given sentences, by teacher forcing.

    Args:
        start: from `start_speaking` or `PrecomputedCaptioner.start`.
        tokens: (B, L) int64, one sentence a pair; what follows its first 0 plays no part.

    Returns:
        (B,) float64 in nats: with `sample` at temperature 1, the log-probability of the sentence. Its end is part of it
        unless it has all L words.
    """
    encoded, state = start.encoded, start.state
    said = torch.zeros_like(tokens[:, 0])
    speaking = torch.ones_like(said, dtype=torch.bool)
    total = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
    for following in tokens.unbind(dim=1):
        logits, state = start.step(said, encoded, state)
        chosen = logits.log_softmax(dim=1).gather(1, following[:, None])[:, 0]
        total += chosen.masked_fill(~speaking, 0)
        said, speaking = following, speaking & (following != 0)
        if not speaking.any():
            break
    return total


def _keep_likeliest(logits: Tensor, top_k: int | None, top_p: float | None) -> tuple[Tensor, Tensor]:
    """Logits (B, V + 1) in falling order, -inf for words that are not kept, and the tokens in that order."""
    ordered, order = logits.sort(dim=1, descending=True, stable=True)
    if top_k is not None:
        ordered[:, top_k:] = -torch.inf
    if top_p is not None:
        probability = ordered.softmax(dim=1)
        before = probability.cumsum(dim=1) - probability  # of the likelier words
        before[:, 0] = 0
        ordered = ordered.masked_fill(before >= top_p, -torch.inf)
    return ordered, order


UNKNOWN_PENALTY = 1000.0
"""Nats by which the last word, UNK, is lowered in beam search."""


@torch.no_grad()
def beam_search(start: Start, beams: int = 3, *, choose: Literal["first", "likeliest"] = "first") -> Sentences:
    """One sentence per dialog by beam search, batched over dialogs.

    As in the released code, UNK is lowered by 1000 nats, an ended beam is set aside and not continued, and sums of
    log-probabilities are not divided by length. That code forgets the sums of ended beams (it overwrites them with
    the mark of an ended beam) and so gives the beam that ended first; this is the default.

    Args:
        start: from `start_speaking` or `PrecomputedCaptioner.start`.
        beams: K, how many sentence beginnings are kept per dialog.
        choose: `first`, the likeliest of the beams that ended first, or `likeliest`, of all beams that ended.

    Raises:
        ValueError: fewer than 1 beam, or more than there are tokens.
    """
    device, rows = start.state[0].device, len(start.state[0])
    words = start.network.sizes.words + 1
    if not 1 <= beams <= words:
        raise ValueError(f"beam search with {beams} beams over {words} tokens; give 1 to {words} beams")
    each = torch.arange(rows, device=device)
    first = torch.zeros(rows, dtype=torch.int64, device=device)
    logits, state = start.step(first, start.encoded, start.state)
    fans = each.repeat_interleave(beams)  # dialog of every beam
    encoded = start.encoded.take(fans)
    logits, state = logits[fans], tuple(part[fans] for part in state)
    sums = logits.new_full((rows, beams), -torch.inf)
    sums[:, 0] = 0  # all beams are the same as yet
    tokens = torch.zeros(rows, beams, MAX_WORDS, dtype=torch.int64, device=device)
    logs = logits.new_zeros(rows, beams, MAX_WORDS)
    done_sum = logits.new_full((rows,), -torch.inf)
    done_tokens, done_logs = tokens[:, 0].clone(), logs[:, 0].clone()
    for position in range(MAX_WORDS):
        local = torch.log_softmax(logits, dim=1)
        local[:, -1] -= UNKNOWN_PENALTY
        # Ordered by rank of the word, then by beam: the order in which equal sums are preferred.
        likeliest, choice = local.view(rows, beams, words).topk(beams, dim=2)
        totals = (sums.unsqueeze(2) + likeliest).transpose(1, 2).flatten(1)  # (B, K · K)
        sums, places = (part[:, :beams] for part in totals.sort(dim=1, descending=True, stable=True))
        origin = places % beams
        said = choice.transpose(1, 2).flatten(1).gather(1, places)
        tokens, logs = (part[each.unsqueeze(1), origin] for part in (tokens, logs))
        tokens[:, :, position] = said
        logs[:, :, position] = likeliest.transpose(1, 2).flatten(1).gather(1, places)
        ended = (said == 0) | (position == MAX_WORDS - 1)
        best, beam = sums.masked_fill(~ended, -torch.inf).max(dim=1)
        better = best > done_sum
        if choose == "first":
            better &= done_sum == -torch.inf
        done_sum = torch.where(better, best, done_sum)
        done_tokens = torch.where(better.unsqueeze(1), tokens[each, beam], done_tokens)
        done_logs = torch.where(better.unsqueeze(1), logs[each, beam], done_logs)
        sums = sums.masked_fill(ended, -torch.inf)
        waiting = done_sum == -torch.inf if choose == "first" else sums.max(dim=1).values > done_sum
        if position == MAX_WORDS - 1 or not waiting.any():
            break
        source = (each.unsqueeze(1) * beams + origin).flatten()
        logits, state = start.step(said.flatten(), encoded, tuple(part[source] for part in state))
    return Sentences(done_tokens, done_logs)
