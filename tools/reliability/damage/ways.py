"""Which damage can be done to which file: what harms any file, and what knows what kind of file it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tools.reliability.damage.archives import archive_bomb, archive_code, archive_drop, archive_other, other_state
from tools.reliability.damage.hdf5 import change_numbers, edit_hdf5, edit_hdf5_attribute, forge_hdf5, forge_pictures
from tools.reliability.damage.pickles import pickle_bomb, pickle_code, pickle_import, pickle_nest, pickle_size
from tools.reliability.damage.pictures import picture_bomb, picture_format, picture_program
from tools.reliability.damage.target import Target
from tools.reliability.damage.tensors import (
    edit_tensor_header,
    forge_agent,
    forge_facts,
    forge_tensors,
    long_tensor_header,
    without_metadata,
)
from tools.reliability.damage.text import (
    cut_lines,
    double_line,
    drop_column,
    drop_line,
    edit_json,
    edit_json_line,
    forge_json,
    long_number,
    nest,
    other_encoding,
    stray_quote,
    wide_field,
)


def backbone_code(target: Target) -> None:
    """A configuration that asks for code beside it to be run."""
    config = json.loads(target.path.read_text())
    classes = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
    config |= {"auto_map": classes, "model_type": str(target.random.choice(["resnet", "evil", ""]))}
    target.path.write_text(json.dumps(config))


JSON = (edit_json, edit_json, forge_json, forge_json, forge_json, nest, long_number)
BY_SUFFIX: dict[str, tuple[Callable[[Target], None], ...]] = {
    ".json": JSON,
    ".jsonl": (edit_json_line, edit_json_line, edit_json_line, drop_line, cut_lines, double_line, nest, long_number),
    ".csv": (stray_quote, stray_quote, wide_field, other_encoding, drop_column, drop_line, cut_lines, double_line),
    ".txt": (drop_line, cut_lines, cut_lines, double_line, other_encoding),
    ".safetensors": (
        forge_facts, forge_facts, forge_facts, forge_agent, forge_tensors, forge_tensors, edit_tensor_header,
        edit_tensor_header, long_tensor_header, without_metadata,
    ),
    ".pkl": (pickle_code, pickle_import, pickle_bomb, pickle_nest, pickle_size),
    ".zip": (archive_code, archive_drop, archive_other, archive_bomb),
    ".pth": (
        archive_code, archive_drop, archive_other, archive_bomb, other_state, other_state, pickle_code, pickle_bomb
    ),
    ".h5": (
        edit_hdf5, edit_hdf5_attribute, change_numbers, forge_hdf5, forge_hdf5, forge_hdf5, forge_hdf5, forge_pictures
    ),
    ".jpg": (picture_bomb, picture_program, picture_format, picture_format),
}  # fmt: skip
FORGED = (
    forge_facts,
    forge_agent,
    forge_tensors,
    forge_hdf5,
    forge_json,
    forge_pictures,
    other_state,
    archive_code,
    picture_format,
    double_line,
)
"""Damage after which a file is whole in its way, so that another content is no damage unnoticed."""


def ways(name: str) -> tuple[Callable[[Target], None], ...]:
    """What can be done to a file of that name."""
    special = BY_SUFFIX.get(Path(name).suffix, ())
    return (*special, *((backbone_code,) * 3 if name.endswith("config.json") else ()))
