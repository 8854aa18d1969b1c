"""How good a captioner's sentences are: against references, and by how much they move the target's rank.

The scores are those of the field's evaluation package, pycocoevalcap, on words split as everywhere here (its own
tokeniser needs Java): BLEU-1..4, ROUGE-L and CIDEr, and METEOR where Java is present. 95% intervals are by bootstrap
over pairs: BLEU from the resampled counts of matching n-grams, the others as means of scores per pair, the document
frequencies of CIDEr staying as they are.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialog_env.evaluate.intervals import RESAMPLES, Interval

Floats = NDArray[np.float64]

RESAMPLES_AT_ONCE = 100
BLEU_ORDERS = 4


def mean_score(values: Floats, generator: np.random.Generator) -> Interval:
    """Mean of values (P,), one for each pair."""
    return _score(values[:, None], lambda sums: sums[:, 0] / len(values), generator)


def quality(
    said: Sequence[str], references: Sequence[Sequence[str]], generator: np.random.Generator
) -> dict[str, Interval]:
    """Scores of sentences against what would be right, each times 100 as is the custom.

    Args:
        said: P sentences of lower-case words with blanks between them.
        references: for each of them one or more that would be right.
        generator: draws the resamples.

    Raises:
        ImportError: pycocoevalcap is not installed.
        ValueError: no sentence, another number of references, or a sentence without a reference.
    """
    if not said or len(said) != len(references) or not all(references):
        raise ValueError(
            f"{len(said)} sentences and {len(references)} lists of references were given; "
            "give at least one sentence and one reference for each"
        )
    try:
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise ImportError("scores need the package pycocoevalcap; install it with pip, or the extra 'dev'") from error
    right = {number: list(sentences) for number, sentences in enumerate(references)}
    given = {number: [sentence] for number, sentence in enumerate(said)}
    scores = _bleu(said, references, generator)
    for name, scorer in (("ROUGE-L", Rouge()), ("CIDEr", Cider())):
        _, values = scorer.compute_score(right, given)
        scores[name] = mean_score(100 * np.asarray(values, dtype=np.float64), generator)
    if shutil.which("java"):
        scores["METEOR"] = mean_score(100 * _meteor(right, given), generator)
    return scores


def _bleu(
    said: Sequence[str], references: Sequence[Sequence[str]], generator: np.random.Generator
) -> dict[str, Interval]:
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=BLEU_ORDERS)
    for sentence, right in zip(said, references, strict=True):
        scorer += (sentence, list(right))
    counts = np.array(
        [
            [*test["correct"], *test["guess"], test["testlen"], _closest(test["reflen"], test["testlen"])]
            for test in scorer.ctest
        ],
        dtype=np.float64,
    )
    return {
        f"BLEU-{order}": _score(counts, lambda sums, order=order: 100 * _corpus_bleu(sums, order), generator)
        for order in range(1, BLEU_ORDERS + 1)
    }


def _closest(lengths: Sequence[int], length: int) -> int:
    return min((abs(each - length), each) for each in lengths)[1]


def _corpus_bleu(sums: Floats, order: int) -> Floats:
    """BLEU (S,) from sums over a corpus (S, 10): matching and all n-grams of each order, words said and to be said."""
    tiny, small = 1e-15, 1e-9  # as in pycocoevalcap
    correct, guessed = sums[:, :order], sums[:, BLEU_ORDERS : BLEU_ORDERS + order]
    precision = np.exp(np.log((correct + tiny) / (guessed + small)).mean(axis=1))
    ratio = (sums[:, -2] + tiny) / (sums[:, -1] + small)
    result: Floats = precision * np.exp(np.minimum(0, 1 - 1 / ratio))
    return result


def _meteor(right: dict[int, list[str]], given: dict[int, list[str]]) -> Floats:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return np.asarray(scorer.compute_score(right, given)[1], dtype=np.float64)
    finally:
        process: Any = scorer.meteor_p
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def _score(rows: Floats, summary: Any, generator: np.random.Generator) -> Interval:
    """A summary of the sums of rows (P, S), and its interval when pairs are drawn anew with replacement."""
    pairs = len(rows)
    drawn = []
    for start in range(0, RESAMPLES, RESAMPLES_AT_ONCE):
        count = min(RESAMPLES_AT_ONCE, RESAMPLES - start)
        times = generator.multinomial(pairs, np.full(pairs, 1 / pairs), size=count)
        drawn.append(summary(times @ rows))
    value = float(summary(rows.sum(axis=0, keepdims=True))[0])
    if not math.isfinite(value):
        raise ValueError("a score is not finite; are all sentences empty?")
    return Interval.from_resamples(value, np.concatenate(drawn))
