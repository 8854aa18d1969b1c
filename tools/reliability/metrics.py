"""Part `metrics`: every metric of records with many level images against its definition."""

from __future__ import annotations

import numpy as np

from dialog_env.evaluate.metrics import METRICS
from dialog_env.evaluate.protocol import Record
from tools.reliability.cases import Case, Outcome, Part, expect
from tools.reliability.literal_metrics import LITERAL, LiteralDialogRecord


def draw_record(random: np.random.Generator) -> Record:
    """A record of a few dialogs in a gallery of up to some hundred images, most of their ranks with ties."""
    images = int(random.choice([2, 3, 7, 10, 11, 20, 40, 60, 100, 200, 300]))
    dialogs, turns = int(random.integers(1, 6)), int(random.integers(1, 7))
    shape = (dialogs, turns + 1)
    closer = random.integers(0, images, shape)
    equal = 1 + (random.random(shape) * (images - closer) * (random.random(shape) < 0.7)).astype(int)
    return Record(
        target=random.integers(0, images, dialogs),
        shown=random.integers(0, min(images, 8), shape),
        closer=closer.astype(np.int64),
        equal=np.minimum(equal, images - closer).astype(np.int64),
        images=images,
        ties=str(random.choice(["half", "half", "strict"])),
    )


def run(case: Case) -> Outcome:
    """All metrics of one record."""
    record = draw_record(case.random)
    dialogs = [
        LiteralDialogRecord(
            int(record.target[row]),
            record.shown[row].tolist(),
            record.closer[row].tolist(),
            record.equal[row].tolist(),
            record.images,
            record.ties,
        )
        for row in range(len(record.target))
    ]
    for name, literal in LITERAL.items():
        expect(name in METRICS, "wrong", f"there is no metric {name!r}")
        metric = METRICS[name]
        values = np.asarray(metric.of(record), dtype=float).reshape(len(dialogs), -1)
        expected = np.array([literal(dialog) for dialog in dialogs])
        agree = values.shape == expected.shape and bool(np.allclose(values, expected, rtol=1e-9, atol=1e-9))
        places = f"closer {record.closer.tolist()}, equal {record.equal.tolist()} of {record.images}"
        expect(agree, "wrong", f"{name}, {record.ties}, {places}: {values.tolist()} must be {expected.tolist()}")
    return Outcome(count=len(LITERAL))


PART = Part(
    name="metrics",
    tries="every metric on records with level images, against the mean over all orders of them",
    run=run,
    cases=200,
    small=20,
)
