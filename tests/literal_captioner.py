"""The captioners as the released code computes them: nothing kept, nothing merged, every step from the features.

Works on weights under their released names. It is the oracle of the tests and the base line of the benchmark.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


class LiteralCaptioner:
    """Step by step in the released order, for pairs given as [target, target - candidate]."""

    def __init__(self, weights: Weights, architecture: str) -> None:
        self.w = weights
        self.architecture = architecture
        self.hidden = weights["logit.weight"].shape[1]
        cell = {"show_tell": "core", "show_attend_tell": "core.rnn"}.get(architecture)
        if cell is not None:
            self.rnn = torch.nn.LSTM(weights[f"{cell}.weight_ih_l0"].shape[1], self.hidden, bias=False)
            state = {name: weights[f"{cell}.{name}"] for name in ("weight_ih_l0", "weight_hh_l0")}
            self.rnn.load_state_dict(state)
            self.rnn.to(weights["logit.weight"])

    @torch.no_grad()
    def greedy(self, pooled: Tensor, regions: Tensor | None, length: int = 16) -> Tensor:
        state = self.begin(pooled)
        said = torch.zeros(len(pooled), dtype=torch.int64, device=pooled.device)
        sentence = torch.zeros(len(pooled), length, dtype=torch.int64, device=pooled.device)
        speaking = torch.ones_like(said, dtype=torch.bool)
        for position in range(length):
            output, state = self.dialogs(self.word(said), pooled, regions, state)
            said = torch.log_softmax(linear(self.w, "logit", output), dim=1).argmax(dim=1) * speaking
            sentence[:, position] = said
            speaking = speaking & (said > 0)
            if not speaking.any():
                break
        return sentence

    @torch.no_grad()
    def log_probabilities(self, pooled: Tensor, regions: Tensor | None, tokens: Tensor) -> Tensor:
        state = self.begin(pooled)
        steps = []
        for said in F.pad(tokens, (1, 0)).T:
            output, state = self.dialogs(self.word(said), pooled, regions, state)
            steps.append(torch.log_softmax(linear(self.w, "logit", output), dim=1))
        return torch.stack(steps, dim=1)

    def word(self, tokens: Tensor) -> Tensor:
        if "embed.weight" in self.w:
            return self.w["embed.weight"][tokens]
        return torch.relu(self.w["embed.0.weight"][tokens])

    def begin(self, pooled: Tensor) -> tuple[Tensor, ...]:
        zeros = pooled.new_zeros(len(pooled), self.hidden)
        if self.architecture == "show_attend_tell":
            image = linear(self.w, "linear", pooled)
            return image, image
        if self.architecture in ("show_tell", "fc"):
            return self.dialogs(linear(self.w, "img_embed", pooled), pooled, None, (zeros, zeros))[1]
        return (zeros,) * (4 if self.architecture == "topdown" else 2)

    def dialogs(self, word: Tensor, pooled: Tensor, regions: Tensor | None, state: tuple[Tensor, ...]):
        step = getattr(self, self.architecture)
        return step(word, pooled, regions, state)

    def one_word(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        output, (h, c) = self.rnn(x.unsqueeze(0), (state[0].unsqueeze(0), state[1].unsqueeze(0)))
        return output[0], (h[0], c[0])

    def lstm(self, x: Tensor, state: tuple[Tensor, ...], name: str) -> tuple[Tensor, Tensor]:
        w = self.w
        gates = F.linear(x, w[f"{name}.weight_ih"], w[f"{name}.bias_ih"])
        gates = gates + F.linear(state[0], w[f"{name}.weight_hh"], w[f"{name}.bias_hh"])
        i, f, g, o = gates.chunk(4, 1)
        cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell

    def attention(self, h: Tensor, values: Tensor, keys: Tensor, name: str) -> Tensor:
        dot = torch.tanh(keys + linear(self.w, f"{name}.h2att", h).unsqueeze(1))
        weight = torch.softmax(linear(self.w, f"{name}.alpha_net", dot).squeeze(2), dim=1)
        return torch.bmm(weight.unsqueeze(1), values).squeeze(1)

    def show_tell(self, word, pooled, regions, state):
        return self.one_word(word, state)

    def fc(self, word, pooled, regions, state):
        return self.maxout(linear(self.w, "core.i2h", word) + linear(self.w, "core.h2h", state[0]), state[1])

    def maxout(self, gates, cell, context=None):
        i, f, o, a, b = gates.chunk(5, 1)
        if context is not None:
            first, second = context.chunk(2, 1)
            a, b = a + first, b + second
        c = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.max(a, b)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def show_attend_tell(self, word, pooled, regions, state):
        keys = linear(self.w, "core.ctx2att", regions)
        context = self.attention(state[0], regions, keys, "core")
        return self.one_word(torch.cat([word, context], 1), state)

    def att2in(self, word, pooled, regions, state, values=None, name="core"):
        values = regions if values is None else values
        context = self.attention(state[0], values, linear(self.w, "ctx2att", values), name)
        gates = linear(self.w, "core.i2h", word) + linear(self.w, "core.h2h", state[0])
        return self.maxout(gates, state[1], linear(self.w, "core.a2c", context))

    def att2in2(self, word, pooled, regions, state):
        values = torch.relu(linear(self.w, "att_embed.0", regions))
        return self.att2in(word, pooled, regions, state, values, "core.attention")

    def topdown(self, word, pooled, regions, state):
        image = torch.relu(linear(self.w, "fc_embed.0", pooled))
        values = torch.relu(linear(self.w, "att_embed.0", regions))
        h1, h2, c1, c2 = state
        h1, c1 = self.lstm(torch.cat([h2, image, word], 1), (h1, c1), "core.att_lstm")
        context = self.attention(h1, values, linear(self.w, "ctx2att", values), "core.attention")
        h2, c2 = self.lstm(torch.cat([context, h1], 1), (h2, c2), "core.lang_lstm")
        return h2, (h1, h2, c1, c2)

    def adaatt(self, word, pooled, regions, state):
        w = self.w
        image = torch.relu(linear(w, "fc_embed.0", pooled))
        values = torch.relu(linear(w, "att_embed.0", regions))
        h, c = state
        gates = linear(w, "core.lstm.w2h", word) + linear(w, "core.lstm.v2h", image) + linear(w, "core.lstm.h2h.0", h)
        i, f, o, g = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        watching = linear(w, "core.lstm.r_w2h", word) + linear(w, "core.lstm.r_v2h", image)
        fake = torch.sigmoid(watching + linear(w, "core.lstm.r_h2h", h)) * torch.tanh(c)
        h = torch.sigmoid(o) * torch.tanh(c)
        fake = torch.relu(linear(w, "core.attention.fr_linear.0", fake))
        spoken = torch.tanh(linear(w, "core.attention.ho_linear.0", h))
        keys = [linear(w, "core.attention.fr_embed", fake).unsqueeze(1), linear(w, "ctx2att", values)]
        query = linear(w, "core.attention.ho_embed", spoken).unsqueeze(1)
        dot = linear(w, "core.attention.alpha_net", torch.tanh(torch.cat(keys, 1) + query)).squeeze(2)
        everything = torch.cat([fake.unsqueeze(1), values], 1)
        context = torch.bmm(torch.softmax(dot, 1).unsqueeze(1), everything).squeeze(1)
        return torch.tanh(linear(w, "core.attention.att2h", context + spoken)), (h, c)


def released_shapes(
    architecture: str, *, pooled: int, regions: int, hidden: int, words: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of released weights with the same size for words, states and attention."""
    h, d, c, v = hidden, 2 * pooled, 2 * regions, words + 1
    embed = "embed.0.weight" if architecture in ("att2in2", "adaatt", "topdown") else "embed.weight"
    shapes: dict[str, tuple[int, ...]] = {embed: (v, h), "logit.weight": (v, h), "logit.bias": (v,)}

    def add(name: str, out: int, width: int) -> None:
        shapes[f"{name}.weight"] = (out, width)
        shapes[f"{name}.bias"] = (out,)

    match architecture:
        case "show_tell":
            add("img_embed", h, d)
            shapes |= {"core.weight_ih_l0": (4 * h, h), "core.weight_hh_l0": (4 * h, h)}
        case "fc":
            for name, out, width in (("img_embed", h, d), ("core.i2h", 5 * h, h), ("core.h2h", 5 * h, h)):
                add(name, out, width)
        case "show_attend_tell":
            for name, out, width in (("linear", h, d), ("core.ctx2att", h, c), ("core.h2att", h, h)):
                add(name, out, width)
            add("core.alpha_net", 1, h)
            shapes |= {"core.rnn.weight_ih_l0": (4 * h, h + c), "core.rnn.weight_hh_l0": (4 * h, h)}
        case "att2in" | "att2in2":
            values, inner = (c, "core") if architecture == "att2in" else (h, "core.attention")
            if architecture == "att2in2":
                add("att_embed.0", h, c)
            for name, out, width in (
                ("ctx2att", h, values),
                ("core.a2c", 2 * h, values),
                ("core.i2h", 5 * h, h),
                ("core.h2h", 5 * h, h),
                (f"{inner}.h2att", h, h),
                (f"{inner}.alpha_net", 1, h),
            ):
                add(name, out, width)
        case "adaatt":
            cell = [(f"core.lstm.{name}", 4 * h, h) for name in ("w2h", "v2h", "h2h.0")]
            cell += [(f"core.lstm.{name}", h, h) for name in ("r_w2h", "r_v2h", "r_h2h")]
            inner_names = ("fr_linear.0", "fr_embed", "ho_linear.0", "ho_embed", "att2h")
            cell += [(f"core.attention.{name}", h, h) for name in inner_names]
            for name, out, width in cell:
                add(name, out, width)
            add("core.attention.alpha_net", 1, h)
        case "topdown":
            add("core.attention.h2att", h, h)
            add("core.attention.alpha_net", 1, h)
            for cell_name, width in (("core.att_lstm", 3 * h), ("core.lang_lstm", 2 * h)):
                shapes |= {f"{cell_name}.weight_ih": (4 * h, width), f"{cell_name}.weight_hh": (4 * h, h)}
                shapes |= {f"{cell_name}.bias_ih": (4 * h,), f"{cell_name}.bias_hh": (4 * h,)}
    if architecture in ("adaatt", "topdown"):
        add("fc_embed.0", h, d)
        add("att_embed.0", h, c)
        add("ctx2att", h, h)
    return shapes


def random_released(
    architecture: str,
    generator: torch.Generator,
    *,
    pooled: int,
    regions: int,
    hidden: int,
    words: int,
    sharpness: float = 8.0,
) -> Weights:
    """Random weights under released names; sharper output words make sentences vary and words lead clearly."""
    shapes = released_shapes(architecture, pooled=pooled, regions=regions, hidden=hidden, words=words)
    weights = {}
    for name, shape in shapes.items():
        scale = sharpness if name.startswith(("logit", "embed")) else 1.7
        weights[name] = torch.randn(shape, generator=generator) * scale / shape[-1] ** 0.5
        if name.endswith("bias"):
            weights[name] = torch.randn(shape, generator=generator) * 0.1
    return weights
