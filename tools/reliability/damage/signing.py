"""What a stranger can do who means harm: make a digest anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dialog_env.io.atomic import DIGEST, signed
from dialog_env.io.seals import SEAL_BYTES, seal


def sign(path: Path) -> None:
    """Makes the seal or digest of a file of ours anew: what a stranger can do who means harm."""
    with path.open("rb") as file:
        title = file.read(SEAL_BYTES).partition(b"\n")[0]
    if title.startswith(b"dialog-retrieval"):
        seal(path, title.decode())
    elif path.suffix == ".json":
        content = json.loads(path.read_text())
        if isinstance(content, dict) and DIGEST in content:
            path.write_text(json.dumps(signed(content)))
    elif (path.parent / "result.json").exists():
        content = json.loads((path.parent / "result.json").read_text())
        content["dialogs"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (path.parent / "result.json").write_text(json.dumps(signed(content)))
