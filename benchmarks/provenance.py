"""Where a result comes from."""

from __future__ import annotations

import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from dialog_env.agents.base import AGENT_FILE
from dialog_env.agents.sb3.agent import MODEL_FILE
from dialog_env.io.atomic import file_digest
from dialog_env.io.commands import typed

PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "h5py", "transformers")


def provenance(device: str) -> dict[str, Any]:
    """Command, versions, git revision, machine, device and time, all JSON-able."""
    return {
        "command": typed(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git": git_revision(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": machine(),
        "device": device_name(device),
    }


def agent_digests(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of the files of the agent saved in a folder, and of those within it, by name."""
    paths = (path for name in (AGENT_FILE, MODEL_FILE) for path in folder.rglob(name))
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in sorted(paths)}


def device_name(device: str) -> str:
    """The GPU's name, or "cpu" with its number of threads."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def machine() -> str:
    """Processor and operating system."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = f"{len(names)} x {names[0]}" if names else processor
    return f"{processor}, {platform.system()}"


def git_revision() -> str:
    """The revision of the code, with "+changes" where the working tree differs; "unknown" outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        if not root.samefile(_git(root, "rev-parse", "--show-toplevel")):
            return "unknown"  # installed, somewhere below a checkout of something else
        revision = _git(root, "rev-parse", "--short=12", "HEAD")
        return revision + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
