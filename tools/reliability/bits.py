"""Part `bits`: one bit flipped in a binary file that the package wrote: noticed, or harmless."""

from __future__ import annotations

from tools.reliability import materials
from tools.reliability.cases import Case, Failed, Outcome, Part
from tools.reliability.files import again, choose_file, copy, read
from tools.reliability.kinds import KINDS, comparable

BINARY = (".h5", ".safetensors", ".zip", ".pth")


def run(case: Case) -> Outcome:
    """One flipped bit."""
    random = case.random
    ours = [name for name, kind in KINDS.items() if kind.ours and not kind.material.endswith((".json", ".jsonl"))]
    name = ours[case.number % len(ours)]
    kind = KINDS[name]
    place = copy(kind, case)
    pristine = comparable(kind.read(place))
    place = again(kind, place, case)
    path = choose_file(kind, place, random)
    while path.suffix not in BINARY:
        path = choose_file(kind, place, random)
    content = bytearray(path.read_bytes())
    bit = int(random.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    what = f"{name}, {path.name}: bit {bit % 8} of byte {bit // 8} of {len(content)}"
    try:
        read(kind, place, path, pristine, forged=False, lawful=False)
    except Failed as failed:
        raise Failed(failed.verdict, f"{what}: {failed.note}") from failed
    return Outcome(note=what)


PART = Part(
    name="bits",
    tries="one bit flipped in a catalogue, agent, checkpoint, captioner, archive or result: noticed, or harmless",
    run=run,
    prepare=lambda folder: materials.make(folder, *materials.MAKERS),
    cases=600,
    small=24,
    seconds=60,
    memory=3 << 30,
)
