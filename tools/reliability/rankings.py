"""Part `rankings`: ranks and nearest images, of galleries of some thousand images too, against sorting them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, Ranking, ScoreRanking
from tools.reliability.cases import Case, Outcome, Part, expect, fail
from tools.reliability.literal_world import query_costs, score_costs, target_rank
from tools.reliability.refusals import attempt, require_clear

Random = np.random.Generator


def draw_numbers(random: Random, rows: int, columns: int) -> Any:
    """(rows, columns) float32 that are random, whole, or copies of each other."""
    numbers = random.standard_normal((rows, columns))
    kind = random.integers(4)
    if kind == 1:
        numbers = np.round(numbers)
    elif kind == 2:
        numbers = numbers[random.integers(0, max(1, rows // 4), rows)]
    elif kind == 3:
        numbers = numbers * 10.0 ** random.integers(-12, 13)
    return torch.tensor(numbers, dtype=torch.float32)


def draw_ranking(random: Random) -> tuple[Ranking, list[list[float]]]:
    """A ranking, and the costs of all images for each of its dialogs."""
    batch, images = int(random.integers(1, 5)), int(random.choice([1, 2, 3, 8, 9, 64, 65, 300, 1200]))
    if random.random() < 0.3:
        scores = draw_numbers(random, batch, images)
        return ScoreRanking(scores), [score_costs(row) for row in scores.tolist()]
    width = int(random.integers(1, 9))
    embeddings = draw_numbers(random, images, width)
    queries = draw_numbers(random, batch, width)
    if random.random() < 0.4:
        queries = embeddings[torch.from_numpy(random.integers(0, images, batch))]
    features = embeddings.tolist()
    return QueryRanking(queries, EmbeddedGallery(embeddings)), [query_costs(row, features) for row in queries.tolist()]


def check_standing(ranking: Ranking, costs: list[list[float]], random: Random) -> None:
    """Compares how many images are closer than and level with random targets."""
    targets = random.integers(0, ranking.images, ranking.batch)
    found = ranking.target_rank(torch.from_numpy(targets))
    pairs = list(zip(found.closer.tolist(), found.equal.tolist(), strict=True))
    expected = [target_rank(row, target) for row, target in zip(costs, targets.tolist(), strict=True)]
    expect(pairs == expected, "wrong", f"standing of {targets} among {ranking.images}: {pairs}, must be {expected}")


def check_top(ranking: Ranking, costs: list[list[float]], random: Random) -> None:
    """Compares the nearest images, some of them left out."""
    count = int(random.integers(1, ranking.images + 1))
    left_out = int(random.integers(0, ranking.images - count + 1))
    excluded = None
    if left_out and random.random() < 0.6:
        rows = [random.permutation(ranking.images)[: min(left_out, 6)] for _ in costs]
        excluded = torch.from_numpy(np.stack(rows))
    found = ranking.top(count, excluded).tolist()
    for row, images in enumerate(found):
        without = set() if excluded is None else set(excluded[row].tolist())
        order = [image for _, image in sorted((cost, image) for image, cost in enumerate(costs[row]))]
        order = [image for image in order if image not in without]
        where = f"the {count} nearest of {ranking.images} without {sorted(without)}"
        expect(images == order[:count], "wrong", f"{where}: {images}, must be {order[:count]}")


def check_refusals(ranking: Ranking, random: Random) -> None:
    """What cannot be asked for, and features that float32 cannot square."""
    count = [0, -1, ranking.images + 1][random.integers(3)]
    answer = attempt(ranking.top, count)
    if answer.error is None:
        fail("wrong", f"the {count} nearest of {ranking.images} were given")
    require_clear(answer.error, [count], f"top({count})")
    huge = torch.full((3, 2), float(random.choice([1e20, 1e30, 3e38])))
    huge[1:] *= -0.5
    answer = attempt(lambda: QueryRanking(huge[:1], EmbeddedGallery(huge)).target_rank(torch.tensor([1])))
    if answer.error is None:
        got = (int(answer.value.closer[0]), int(answer.value.equal[0]))
        with np.errstate(over="ignore"):
            expected = target_rank(query_costs(huge[0].tolist(), huge.tolist()), 1)
        expect(got == expected == (1, 2), "wrong", f"features of {huge[0, 0]:g} are ranked {got}, must be (1, 2)")
    else:
        require_clear(answer.error, ["e+", "large", "infinite"], f"features of {huge[0, 0]:g}")


def run(case: Case) -> Outcome:
    """Several questions about one ranking."""
    random = case.random
    ranking, costs = draw_ranking(random)
    questions = [check_standing, check_top, check_standing, check_top]
    for question in questions:
        question(ranking, costs, random)
    check_refusals(ranking, random)
    return Outcome(count=len(questions) + 2)


PART = Part(
    name="rankings",
    tries="ranks and nearest images among up to 1,200, many of them level, against sorting them all",
    run=run,
    cases=400,
    small=20,
)
