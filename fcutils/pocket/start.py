"""A start that can already copy: the circuit for it, planted in the first two layers of a model made from nothing.

A call is mostly copied text, and a small network finds out late, or within hours not at all, how to copy. What it would
find is known (the "induction head" of the literature), so it is written into the weights beforehand: in the first layer
a head that looks at the token before; in the second, heads that look for the place where the present token stood
before, and say what came after it there. These are ordinary weights of a stock architecture, free to be changed by
training. Knows the two families; does not know how a model is trained.
"""

from __future__ import annotations

import math
from typing import Any

SPREAD = 0.3  # of a word's numbers: words start far apart and loud
FINAL = 0.2  # the last norm takes the volume back, so that the first guesses are modest
QUIET = 0.1  # what a layer adds at first, where a norm stands behind it (Gemma)
SHARP, FASTEST = 8.0, 12  # how hard, and by how many rotations, the first layer's head looks at the token before
MATCH, STILL = 20.0, 1500  # the score of a word against itself; places over which a rotation counts as standing still
NOTED, SAID = 1.5, 2.0  # how loud the word before is kept, and the copied word is said, against a word's own volume


def plant(model: Any) -> None:
    """Write the start into a fresh model: loud words, layers that add nothing yet, and the copying circuit.

    Of every embedding the last numbers are kept free: one is the same for all words (a head that asks only *where*
    needs something to ask with), in the others the first layer notes the word before.
    """
    import torch

    gemma = model.config.model_type == "gemma2"
    with torch.no_grad():
        _quieten(model, gemma)
        _words(model, gemma)
        if len(model.model.layers) > 1:  # one layer cannot hold it
            _previous(model, gemma)
            _induction(model, gemma)


def _quieten(model: Any, gemma: bool) -> None:
    for name, parameter in model.named_parameters():
        if gemma and "post_" in name and name.endswith("layernorm.weight"):
            parameter.fill_(QUIET - 1)  # Gemma's norms count from one
        elif not gemma and name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.zero_()
    model.model.norm.weight.fill_(FINAL - 1 if gemma else FINAL)


def _words(model: Any, gemma: bool) -> None:
    config, words = model.config, model.get_input_embeddings().weight
    words.normal_(0, SPREAD)
    words[:, -config.head_dim :] = 0
    words[:, -1] = 1
    if gemma:  # multiplies embeddings by the root of the width on their way in, and not on their way out
        words /= math.sqrt(config.hidden_size)
        model.model.norm.weight.add_(1).mul_(math.sqrt(config.hidden_size)).sub_(1)


def _previous(model: Any, gemma: bool) -> None:
    """First layer, first head: attends to the token before, and notes a view of it in the free numbers."""
    import torch

    size, width = model.config.head_dim, model.config.hidden_size
    content, half, noted = width - size, size // 2, size - 1
    attention, turns = model.model.layers[0].self_attn, _turns(model)[:FASTEST]
    query, key, value = (p.weight[:size] for p in (attention.q_proj, attention.k_proj, attention.v_proj))
    loud = _volume(content, noted, 0)
    for matrix in (query, key, value):
        matrix.zero_()
    query[:FASTEST, -1] = SHARP * loud
    key[:FASTEST, -1] = SHARP * loud * torch.cos(turns)  # one place turned back: the best match is one place before
    key[half : half + FASTEST, -1] = SHARP * loud * torch.sin(turns)
    value[:noted, :content] = _view(noted, content)
    attention.o_proj.weight.zero_()
    attention.o_proj.weight[content:-1, :noted] = torch.eye(noted) * NOTED * loud
    if gemma:
        model.model.layers[0].post_attention_layernorm.weight.fill_(NOTED * SPREAD * math.sqrt(noted / width) - 1)


def _induction(model: Any, gemma: bool) -> None:
    """Second layer: compares the present word with the noted ones, and says the words that stand beside the best."""
    import torch

    size, width = model.config.head_dim, model.config.hidden_size
    content, noted = width - size, size - 1
    attention, turns = model.model.layers[1].self_attn, _turns(model)
    still = [i for i in range(size // 2) if turns[i] * STILL < 1]
    rows = torch.tensor(still + [i + size // 2 for i in still])
    loud = _volume(content, noted, NOTED * SPREAD)
    strength = math.sqrt(MATCH * math.sqrt(size) / (len(rows) * NOTED)) * loud / SPREAD
    attention.o_proj.weight.zero_()
    for start in range(0, content, size):
        part = slice(start, start + size)
        query, key, value = (p.weight[part] for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        for matrix in (query, key, value):
            matrix.zero_()
        look = _view(len(rows), noted, seed=start + 1) * strength
        query[rows, :content] = look @ _view(noted, content)
        key[rows, content:-1] = look
        value[:, part] = torch.eye(size)
        attention.o_proj.weight[part, part] = torch.eye(size) * SAID * loud
    if gemma:
        model.model.layers[1].post_attention_layernorm.weight.fill_(SAID * SPREAD * math.sqrt(content / width) - 1)


def _turns(model: Any) -> Any:
    """How far each pair of a head's numbers turns from one place to the next."""
    return model.model.rotary_emb.inv_freq.detach().float().cpu()


def _volume(content: int, noted: int, spread: float) -> float:
    """The root mean square of a state: what the norm before a layer divides by."""
    return math.sqrt((content * SPREAD**2 + noted * spread**2 + 1) / (content + noted + 1))


def _view(rows: int, columns: int, seed: int = 0) -> Any:
    """A random view of some numbers in fewer: rows at right angles to each other, the same at every call."""
    import torch

    tall = torch.randn(columns, rows, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(tall)[0].T
