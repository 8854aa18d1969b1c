"""Any agent against recorded sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from dialog_env.evaluate.protocol import Record
from dialog_env.evaluate.record_export import to_arrays
from dialog_env.evaluate.records import DialogRecord
from dialog_env.sessions.partner import Partner
from dialog_env.sessions.words import hear
from dialog_env.world.dialog import embedded
from dialog_env.world.ranking import QueryRanking


def replay(partner: Partner, records: Sequence[DialogRecord], *, turns: int | None = None) -> Record:
    """What an agent makes of dialogs that were held with another one, or with itself.

    Each sentence is heard of the image of which it was said, whatever this agent would have shown. So ranks say how
    well it understands; the images that it would show (`Record.shown`, hence `found`) got no answer of their own. A
    sentence of which it understands no word leaves its ranking as it was.

    Args:
        partner: the agent, in the gallery of the dialogs.
        records: dialogs; those without a target, or with fewer turns, are left out.
        turns: T, the first so many of each; as many as the shortest with any has where None.

    Raises:
        ValueError: dialogs of another gallery, or none with so many turns and a target.
    """
    able = [each for each in records if each.begin.target is not None and len(each.turns) >= (turns or 1)]
    if not able:
        raise ValueError(f"none of {len(records)} dialogs has {turns or 1} turns and a target; give fewer turns")
    turns = turns or min(len(each.turns) for each in able)
    arrays = to_arrays([replace(each, turns=each.turns[:turns]) for each in able], partner.gallery)
    first = torch.from_numpy(arrays.candidate[:, 0])
    start = QueryRanking(torch.from_numpy(partner.gallery.features)[first], embedded(partner.gallery))
    stands = start.target_rank(torch.from_numpy(arrays.target))
    closer, equal, shown = [stands.closer.numpy()], [stands.equal.numpy()], [arrays.candidate[:, 0]]
    moments = [partner.begin(int(candidate)) for candidate in first]
    for turn in range(turns):
        heard = [hear(sentence, partner.hearing) for sentence in arrays.said[:, turn]]
        rows = [row for row, each in enumerate(heard) if each.understood]
        replies = partner.hear(
            [replace(moments[row], candidate=int(arrays.candidate[row, turn])) for row in rows],
            [heard[row].tokens(partner.vocabulary) for row in rows],
            arrays.target[rows].tolist(),
        )
        for column in (closer, equal, shown):
            column.append(column[-1].copy())
        for row, reply in zip(rows, replies, strict=True):
            assert reply.standing is not None
            moments[row] = reply.moment
            closer[-1][row], equal[-1][row] = reply.standing
            shown[-1][row] = reply.moment.candidate
    return Record(
        target=arrays.target,
        shown=np.stack(shown, axis=1),
        closer=np.stack(closer, axis=1),
        equal=np.stack(equal, axis=1),
        images=len(partner.gallery),
    )
