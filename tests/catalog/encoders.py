"""Small encoders with random weights, in Hugging Face layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch

PREPROCESSOR = {
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
CONFIGS = {
    "convolution": lambda hf: hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1]),
    "vit": lambda hf: hf.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    ),
    "clip": lambda hf: hf.CLIPConfig(
        text_config={"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1},
        vision_config={
            "hidden_size": 16, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1,
            "image_size": 32, "patch_size": 8,
        },
    ),
}  # fmt: skip

WORDS = "a black red blue pump boot sandal heel with strap bow and of the picture high low shoe"


def write_sentence_encoder(folder: Path, seed: int = 0, hidden: int = 16) -> Path:
    """A sentence encoder that knows a few words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    listed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split(), *"abcdefghijklmnopqrstuvwxyz"]
    words = list(dict.fromkeys([*listed, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]))
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, words.index(word)) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **special})
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(words), hidden_size=hidden, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        BertModel(config).save_pretrained(folder)
    return folder


def write_backbone(folder: Path, kind: str, seed: int = 0) -> Path:
    """A vision backbone, one of `CONFIGS`."""
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformers.AutoModel.from_config(CONFIGS[kind](transformers)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder
