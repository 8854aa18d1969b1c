"""The kinds of encoders that a catalogue can be built with."""

from __future__ import annotations

from pathlib import Path

from dialog_env.catalog.sources.features import Encoder, VisionBackbone
from dialog_env.catalog.sources.sentences import SentenceEncoder
from dialog_env.catalog.space import FeatureSpace


def open_encoder(kind: str, folder: Path, device: str, pooling: str, engine: str = "torch") -> Encoder:
    """The encoder in a folder.

    Args:
        kind: "vision" for pictures, "sentence" for descriptions.
        folder: in Hugging Face layout.
        device: where it runs.
        pooling: see `VisionBackbone` and `SentenceEncoder`.
        engine: see `VisionBackbone`; a sentence encoder has none but torch.

    Raises:
        FileNotFoundError, ValueError, ImportError: as these say.
    """
    if kind == "sentence":
        if engine != "torch":
            raise ValueError(f"engine {engine} is for pictures and these are descriptions; use --engine torch")
        return SentenceEncoder(folder, device, pooling)
    return VisionBackbone(folder, device, pooling, engine)


def open_encoder_of(
    space: FeatureSpace, kind: str, folder: Path, device: str, where: str, engine: str = "torch"
) -> Encoder:
    """The encoder in a folder, for a feature space; ValueError where it is not the one that the space was made with.

    Args:
        space: of a catalogue.
        kind: of what is to be embedded.
        folder, device, engine: as for `open_encoder`.
        where: the catalogue, for messages.
    """
    made = space.encoder.get("kind")
    if made not in ("vision", "sentence"):
        raise ValueError(
            f"{where} lies in feature space {space}, into which no encoder from a folder embeds; build a catalogue of "
            "pictures or descriptions first"
        )
    if made != kind:
        names = {"vision": "pictures", "sentence": "descriptions"}
        raise ValueError(f"{where} is made from {names[made]} and these are {names[kind]}; give {names[made]}")
    encoder = open_encoder(kind, folder, device, space.recipe.get("pooling", "mean"), engine)
    space.check_encoder(encoder.recipe, str(folder), where)
    return encoder
