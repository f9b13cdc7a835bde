"""A start that can already copy: the circuit for it, planted in the first two layers of a model made from nothing.

A call is mostly copied text, and a small network finds out late, or within hours not at all, how to copy. What it would
find is known (the "induction head" of the literature), so it is written into the weights beforehand: in the first layer
two heads that note the token before and the one before that; in the second, heads that look for the place where the
present two tokens stood before, and say what came after them there. These are ordinary weights of a stock architecture,
free to be changed by training. Knows the two families; does not know how a model is trained.
"""

from __future__ import annotations

import math
from typing import Any

SPREAD = 0.3  # of a word's numbers: words start far apart and loud
FINAL = 0.2  # the last norm takes the volume back, so that the first guesses are modest
QUIET = 0.1  # what a layer adds at first, where a norm stands behind it (Gemma)
SHARP, FASTEST = 8.0, 12  # how hard, and by how many rotations, the first layer's heads look one and two tokens back
NOTED, EARLIER = 1.5, 1.0  # how loud the token before, and the one before that, are noted, against a word's own volume
MATCH, STILL = 20.0, 1500  # the score of a word against itself; places over which a rotation counts as standing still
SECOND = 0.5  # what the earlier of the two tokens counts in that score
SAID = 4.0  # how loud the copied word is said


def plant(model: Any) -> None:
    """Write the start into a fresh model: loud words, layers that add nothing yet, and the copying circuit.

    The numbers of a state are shared out: a word's own; a view of the word before; a view of the one before that; and a
    last one that is the same for all words (a head that asks only *where* needs something to ask with).
    """
    import torch

    gemma = model.config.model_type == "gemma2"
    with torch.no_grad():
        _quieten(model, gemma)
        _words(model, gemma)
        if len(model.model.layers) > 1:  # one layer cannot hold it
            _notes(model, gemma)
            _induction(model, gemma)


def _quieten(model: Any, gemma: bool) -> None:
    for name, parameter in model.named_parameters():
        if gemma and "post_" in name and name.endswith("layernorm.weight"):
            parameter.fill_(QUIET - 1)  # Gemma's norms count from one
        elif not gemma and name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.zero_()
    model.model.norm.weight.fill_(FINAL - 1 if gemma else FINAL)


def _words(model: Any, gemma: bool) -> None:
    """All equally loud: the norm before a layer would make quieter words better matches for a head that asks only where."""
    config, words, own = model.config, model.get_input_embeddings().weight, _own(model)
    words.normal_()
    words[:, own:] = 0
    words *= SPREAD * math.sqrt(own) / words.norm(dim=1, keepdim=True)
    words[:, -1] = 1
    if gemma:  # multiplies embeddings by the root of the width on their way in, and not on their way out
        words /= math.sqrt(config.hidden_size)
        model.model.norm.weight.add_(1).mul_(math.sqrt(config.hidden_size)).sub_(1)


def _notes(model: Any, gemma: bool) -> None:
    """First layer: one head attends to the token before, one to the token before that; each notes a view of what it sees."""
    import torch

    size, own, half = model.config.head_dim, _own(model), model.config.head_dim // 2
    attention, turns = model.model.layers[0].self_attn, _turns(model)[:FASTEST]
    loud = _volume(model, noted=False)
    attention.o_proj.weight.zero_()
    for head, (back, volume, place) in enumerate(((1, NOTED, slice(own, own + size)), (2, EARLIER, slice(own + size, -1)))):
        query, key, value, out = _head(attention, head, size)
        query[:FASTEST, -1] = SHARP * loud
        key[:FASTEST, -1] = SHARP * loud * torch.cos(back * turns)  # turned back by so many places: the best match is there
        key[half : half + FASTEST, -1] = SHARP * loud * torch.sin(back * turns)
        value[:, :own] = _view(size, own)
        held = len(range(*place.indices(model.config.hidden_size)))
        out[place, :held] = torch.eye(held) * volume * loud
    if gemma:
        model.model.layers[0].post_attention_layernorm.weight.fill_(_noted(model) - 1)


def _induction(model: Any, gemma: bool) -> None:
    """Second layer: compares the present two words with the noted ones, and says the words that stand beside the best."""
    import torch

    size, own = model.config.head_dim, _own(model)
    attention, turns = model.model.layers[1].self_attn, _turns(model)
    still = [i for i in range(size // 2) if turns[i] * STILL < 1]
    rows = torch.tensor(still + [i + size // 2 for i in still])
    loud = _volume(model, noted=True)
    strength = math.sqrt(MATCH * math.sqrt(size) / (len(rows) * NOTED)) * loud / SPREAD
    attention.o_proj.weight.zero_()
    for head in range(own // size):
        part = slice(head * size, (head + 1) * size)
        query, key, value, out = _head(attention, head, size)
        look = _view(len(rows), size, seed=2 * head + 1) * strength
        earlier = _view(len(rows), size - 1, seed=2 * head + 2) * strength
        query[rows, :own] = look @ _view(size, own)
        query[rows, own : own + size - 1] = earlier * (SECOND / EARLIER)
        key[rows, own : own + size] = look
        key[rows, own + size : -1] = earlier
        value[:, part] = torch.eye(size)
        out[part] = torch.eye(size) * SAID * loud
    if gemma:
        spread = SAID * SPREAD * math.sqrt(own / model.config.hidden_size)
        model.model.layers[1].post_attention_layernorm.weight.fill_(spread - 1)


def _own(model: Any) -> int:
    """How many of a state's numbers are a word's own; the rest are two heads' notes."""
    return model.config.hidden_size - 2 * model.config.head_dim


def _head(attention: Any, head: int, size: int) -> tuple[Any, Any, Any, Any]:
    """One head's queries, keys and values, emptied, and the columns of what it gives out."""
    part = slice(head * size, (head + 1) * size)
    matrices = [p.weight[part].zero_() for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    return *matrices, attention.o_proj.weight[:, part]


def _turns(model: Any) -> Any:
    """How far each pair of a head's numbers turns from one place to the next."""
    return model.model.rotary_emb.inv_freq.detach().float().cpu()


def _noted(model: Any) -> float:
    """The root mean square of the notes."""
    size, width = model.config.head_dim, model.config.hidden_size
    return SPREAD * math.sqrt((size * NOTED**2 + (size - 1) * EARLIER**2) / width)


def _volume(model: Any, noted: bool) -> float:
    """The root mean square of a state: what the norm before a layer divides by."""
    words = (_own(model) * SPREAD**2 + 1) / model.config.hidden_size
    return math.sqrt(words + noted * _noted(model) ** 2)


def _view(rows: int, columns: int, seed: int = 0) -> Any:
    """A random view of some numbers in fewer: rows at right angles to each other, the same at every call."""
    import torch

    tall = torch.randn(columns, rows, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(tall)[0].T
