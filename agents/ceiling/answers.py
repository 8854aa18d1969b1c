"""What a user would say of every image: each question put once, the latest candidates kept."""

from __future__ import annotations

import torch
from torch import Tensor

from dialog_env.io.device import require_memory
from dialog_env.world.user import UserSimulator, ask
from dialog_env.world.vocabulary import MAX_WORDS

QUESTIONS_AT_ONCE = 65_536
"""So many questions go to the user in one batch at most."""


class AnswerTable:
    """The answers of a deterministic user, one row of N a candidate.

    A row belongs to one candidate, or to a candidate and the image shown before it where that plays a part in the
    answer; whoever has that candidate before them reads the same row. A row is filled only where it was asked about,
    and the rows asked about longest ago make room.

    Answers are kept and given packed: the 16 tokens as W int64, W = 2 for up to 255 words and 4 for up to 32,767. Two
    are equal where all W are.

    Args:
        simulator: the user who is asked.
        images: N, of the user's gallery.
        table_bytes: for all rows together; a row takes N (8 W + 1) bytes.
        device: where it takes and gives tensors.

    Raises:
        ValueError: a limit that does not hold one row, or less free memory than is to be kept.
    """

    def __init__(self, simulator: UserSimulator, images: int, table_bytes: int, device: torch.device) -> None:
        self.simulator = simulator
        self.images = images
        self.device = device
        words = len(simulator.vocabulary)
        self._token = torch.uint8 if words < 2**8 else torch.int16 if words < 2**15 else torch.int32
        self.width = MAX_WORDS * self._token.itemsize // 8
        self._uses_previous = getattr(simulator, "uses_previous", True)
        row_bytes = images * (8 * self.width + 1)
        if table_bytes < row_bytes:
            raise ValueError(
                f"table_bytes is {table_bytes} and the answers on one of {images} images take {row_bytes}; give "
                "at least that"
            )
        self.rows = min(table_bytes // row_bytes, images * (images + 1 if self._uses_previous else 1))
        require_memory(self.rows * row_bytes, device, f"answers on {self.rows} candidates", "lower table_bytes")
        self._answers = torch.empty(self.rows * images, self.width, dtype=torch.int64, device=device)
        self._known = torch.zeros(self.rows * images, dtype=torch.bool, device=device)
        self._keys = torch.full((self.rows,), -1, dtype=torch.int64, device=device)
        self._row: dict[int, int] = {}  # of each key, in the order in which they were last asked about

    def pack(self, tokens: Tensor) -> Tensor:
        """Tokens (…, 16) -> (…, W) int64."""
        return tokens.to(self._token).contiguous().view(torch.int64)

    def ask(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        """Packed answers (Q, W) to questions of any number; the user hears those alone that are not known yet.

        Args:
            targets: (Q,) int64 positions of the images in mind.
            candidates: (Q,) int64 positions of the images shown.
            previous: (Q,) int64 positions of the images shown a turn before, -1 where there was none.
        """
        keys = candidates * (self.images + 1) + previous + 1 if self._uses_previous else candidates
        distinct, place = keys.unique(return_inverse=True)  # (Q,) -> (R,), (Q,)
        answers = self._answers.new_empty(len(targets), self.width)
        for first in range(0, len(distinct), self.rows):
            some = distinct[first : first + self.rows]
            here = ((place >= first) & (place < first + len(some))).nonzero()[:, 0]
            cells = self._rows_of(some)[place[here] - first] * self.images + targets[here]
            self._fill(cells[~self._known[cells]].unique())
            answers[here] = self._answers[cells]
        return answers

    def _rows_of(self, keys: Tensor) -> Tensor:
        """(R,) the rows of different keys (R,), at most as many as there are; new keys get the oldest rows."""
        listed, row = keys.tolist(), dict(self._row)
        kept = {key: row.pop(key) for key in listed if key in row}
        new = [key for key in listed if key not in kept]
        free = range(len(self._row), self.rows)[: len(new)]
        oldest = [row.pop(key) for key in list(row)[: len(new) - len(free)]]
        row |= kept | dict(zip(new, [*free, *oldest], strict=True))
        rows = keys.new_tensor([row[key] for key in listed])
        # In this order nothing wrong is left behind if the work is interrupted.
        self._known.view(self.rows, self.images)[keys.new_tensor(oldest)] = False
        self._keys[rows] = keys
        self._row = row
        return rows

    def _fill(self, cells: Tensor) -> None:
        """Asks the user for the answers in different cells (C,), row times N plus target."""
        for some in cells.split(QUESTIONS_AT_ONCE) if len(cells) else ():
            targets, candidates = some % self.images, self._keys[some // self.images]
            previous = torch.full_like(candidates, -1)
            if self._uses_previous:
                candidates, previous = candidates // (self.images + 1), candidates % (self.images + 1) - 1
            self._answers[some] = self.pack(ask(self.simulator, targets, candidates, previous))
            self._known[some] = True
