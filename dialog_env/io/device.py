"""Where tensors live: naming a device, and asking whether what is wanted fits into its memory."""

from __future__ import annotations

from pathlib import Path

import torch

from dialog_env.io.keywords import told

GIB = 1 << 30
CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux tells a container what it may take."""


def find_device(name: str | torch.device) -> torch.device:
    """The device of a name, with its number where it is a graphics card; "auto" is cuda where there is one, else cpu.

    Raises:
        ValueError: no such device here.
    """
    if isinstance(name, str) and name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name if isinstance(name, str | torch.device) else "")
        known = device.type in ("cpu", "cuda")
    except (RuntimeError, TypeError):
        known = False
    if not known:
        raise ValueError(f"device={told(name)} is not known; give 'auto', 'cpu', 'cuda' or 'cuda:<number>'")
    if device.type == "cpu":
        return torch.device("cpu")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = device.index if device.index is not None else torch.cuda.current_device() if cards else 0
    if number >= cards:
        there = "no CUDA device" if not cards else f"CUDA devices 0 to {cards - 1} only"
        raise ValueError(f"device={str(name)!r} is not there, PyTorch sees {there}; give device='cpu' or one of those")
    return torch.device("cuda", number)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + int(
            torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        )
    facts = Path("/proc/meminfo")
    if device.type != "cpu" or not facts.exists():
        return None
    lines = dict(line.split(":", 1) for line in facts.read_text().splitlines())
    if "MemAvailable" not in lines:
        return None
    free, allowed = int(lines["MemAvailable"].split()[0]) * 1024, free_in_container()
    return free if allowed is None else min(free, allowed)


def free_in_container() -> int | None:
    """Bytes that a container may still take, those that hold unused parts of files included; None without a limit."""
    try:
        limit, used = ((CONTROL_GROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        stat = CONTROL_GROUP / "memory.stat"
        parts = dict(line.split() for line in stat.read_text().splitlines() if line) if stat.exists() else {}
        return None if limit == "max" else max(0, int(limit) - int(used) + int(parts.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None


def require_memory(needed: int, device: torch.device, what: str, remedy: str) -> None:
    """Refuses what does not fit.

    Args:
        needed: bytes.
        device: where.
        what: what needs them, as the subject of a sentence in the plural.
        remedy: what to lower or give instead.

    Raises:
        ValueError: fewer bytes are free.
    """
    free = free_memory(device)
    if free is not None and needed > free:
        raise ValueError(f"{what} need {needed / GIB:.2f} GiB on {device} and {free / GIB:.2f} GiB are free; {remedy}")


def require_same(device: torch.device, **found: torch.device) -> None:
    """ValueError where something lies on another device."""
    for name, other in found.items():
        if other != device:
            raise ValueError(
                f"{name} are on {other} and the dialogs on {device}; move them there with .to({str(device)!r})"
            )
