"""The evaluation of a captioner on held-out pairs: scores, utility, and how it compares with its references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from dialog_env.catalog import Catalog
from dialog_env.evaluate.intervals import Interval
from dialog_env.simulators.captioner.caption_data import CaptionSource, Examples, image_digests
from dialog_env.simulators.captioner.evaluation import Floats, mean_score, quality
from dialog_env.simulators.captioner.listener import Listener, utility
from dialog_env.simulators.captioner.user import CaptioningUser
from dialog_env.simulators.describer.truth import statements_true
from dialog_env.world.vocabulary import MAX_WORDS, Vocabulary

REFERENCE = "references"


def evaluate(
    user: CaptioningUser, held_out: CaptionSource, lessons: CaptionSource, generator: np.random.Generator
) -> dict[str, Any]:
    """Scores and utility of a captioner.

    Where pairs have several references, the first of them is scored against the others as the captioner is, to show
    what a perfect speaker of the same kind reaches.

    Args:
        user: of the gallery of the held-out pairs.
        held_out: pairs of images that neither the captioner nor the listener has seen.
        lessons: pairs that the listener learns from.
        generator: draws pairs and resamples.

    Returns:
        JSON data: the number of pairs, `quality` and `utility` by speaker.

    Raises:
        ValueError: images that the captioner or the listener learned from.
    """
    gallery = held_out.gallery
    refuse_seen(user, held_out, lessons)
    draws = torch.Generator().manual_seed(int(generator.integers(1 << 62)))
    vocabulary = Vocabulary.from_sentences(lessons.sentences())
    examples = held_out.scored(vocabulary, draws)
    references = held_out.references(examples)
    said = user.sentences(examples.targets.to(user.device), examples.candidates.to(user.device))

    several = all(len(sentences) > 1 for sentences in references)
    first = [sentences[0] for sentences in references]
    others = [sentences[1:] for sentences in references] if several else references
    scores = {"captioner": quality(said, others, generator)}
    if several:
        scores["a reference"] = quality(first, others, generator)

    true = {} if gallery.attributes is None else truth(gallery, examples, {"captioner": said, "a reference": first})
    taught = lessons.draw(vocabulary, draws)
    listener = Listener(lessons.gallery, taught.targets, taught.candidates, vocabulary.decode(taught.tokens))
    speakers = {"captioner": said, "a reference": first}
    moved = utility(listener, gallery, examples.targets, examples.candidates, speakers, generator)
    return {
        "captioner": user.id,
        "catalog": gallery.name,
        "catalog fingerprint": gallery.split("all").fingerprint,
        "split": gallery.split_name,
        "captions": held_out.id,
        "pairs": len(said),
        "references per pair": len(others[0]),
        "distinct sentences": len(set(said)),
        "words per sentence": float(np.mean([len(sentence.split()) for sentence in said])),
        "longest sentence": MAX_WORDS,
        "quality": {name: {key: asdict(score) for key, score in each.items()} for name, each in scores.items()},
        "true": {name: asdict(mean_score(shares, generator)) for name, shares in true.items()},
        "utility": {name: asdict(score) for name, score in moved.items()},
    }


def truth(gallery: Catalog, examples: Examples, said: Mapping[str, Sequence[str]]) -> dict[str, Floats]:
    """Speaker to the share, in percent, of what each of the sentences states about its target that is true."""
    shares = {}
    for name, sentences in said.items():
        stated, true = statements_true(gallery, examples.targets, examples.candidates, sentences).T
        if stated.any():
            shares[name] = 100.0 * true[stated > 0] / stated[stated > 0]
    return shares


def refuse_seen(user: CaptioningUser, held_out: CaptionSource, lessons: CaptionSource) -> None:
    """ValueError where an image of the held-out pairs was learned from."""
    digests = set(image_digests(held_out.gallery))
    for learner, seen in (
        ("captioner", user.provenance.get("image digests", [])),
        ("listener", image_digests(lessons.gallery)),
    ):
        shared = digests & set(seen)
        if shared:
            raise ValueError(
                f"the {learner} learned from {len(shared)} of the {len(digests)} images of split "
                f"{held_out.gallery.split_name!r}; evaluate on a split that shares none with its training"
            )


def table(report: dict[str, Any], command: str = "") -> str:
    """The numbers as Markdown tables, with 95% intervals, and the command that gave them."""
    speakers, references = list(report["quality"]), report["references per pair"]
    told = f"{references} reference{'' if references == 1 else 's'}"
    lines = [
        f"{report['pairs']} pairs of `{report['catalog']}` ({report['split']}), {told} each; {report['captioner']}",
        "",
        f"| score | {' | '.join(speakers)} |",
        "|---" * (len(speakers) + 1) + "|",
    ]
    for name in report["quality"][speakers[0]]:
        cells = [f"{Interval(**report['quality'][speaker][name])}" for speaker in speakers]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if report.get("true"):
        lines += ["", "| by the attributes | statements that are true, % |", "|---|---|"]
        lines += [f"| {name} | {Interval(**score)} |" for name, score in report["true"].items()]
    lines += ["", "| heard by the listener | percentile points against silence |", "|---|---|"]
    lines += [f"| {name} | {Interval(**score)} |" for name, score in report["utility"].items()]
    lines += ["", f"`{command}`"] if command else []
    return "\n".join(lines)
