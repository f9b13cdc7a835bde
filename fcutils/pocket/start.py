"""A start that can already copy, and is laid out for choosing: circuits planted in a model made from nothing.

A call is mostly copied text, and a small network finds out late, or within hours not at all, how to copy. What it would
find is known (the "induction head" of the literature), so it is written into the weights beforehand: in the first layer
two heads that note the token before and the one before that; in the last, heads that look for the place where the
present two tokens stood before, and say what came after them there. Choosing a tool is matching a request with
descriptions: two heads of the third layer look for the present word elsewhere; what they take from there is left to
training. These are ordinary weights of a stock architecture. Training changes them, at a slower rate than the others
(`planted`). Knows the two families; does not know how a model is trained.
"""

from __future__ import annotations

import math
from typing import Any

SPREAD = 3.0  # of a word's numbers: loud enough that what layers add in training does not drown them
EVEN = 10.0  # the number that is the same for all words
FINAL = 0.02  # the last norm takes the volume back, so that the first guesses are modest
QUIET = 0.3  # what a layer adds at first, where a norm stands behind it (Gemma)
SHARP, FASTEST = 8.0, 12  # how hard, and by how many rotations, the first layer's heads look one and two tokens back
NOTED, EARLIER = 1.5, 1.0  # how loud the token before, and the one before that, are noted, against a word's own volume
MATCH, STILL = 20.0, 1500  # the score of a word against itself; places over which a rotation counts as standing still
SECOND = 1.0  # what the earlier of the two tokens counts in that score
SAID = 6.0  # how loud the copied word is said
MATCHING = 2  # the layer that looks for the present word elsewhere, in a model of five or more
RANDOM = 0.02  # the spread of weights that are left to training


def plant(model: Any) -> None:
    """Write the start into a fresh model: loud words, layers that add nothing yet, and the circuits.

    The numbers of a state are shared out: a word's own; a view of the word before; one of the word before that; and a
    last one that is the same for all words (a head that asks only *where* needs something to ask with).
    """
    import torch

    gemma, last = model.config.model_type == "gemma2", len(model.model.layers) - 1
    with torch.no_grad():
        _quieten(model, gemma)
        _words(model, gemma)
        if last:  # one layer cannot hold it
            _notes(model, gemma)
            _induction(model, gemma, last)
        if last > MATCHING + 1:
            for head in range(2):
                _same_word(model, MATCHING, head, second=0)


def planted(model: Any) -> set[str]:
    """The names of the weights that hold the circuits."""
    last = len(model.model.layers) - 1
    layers = {0: "qkvo", last: "qkvo"} | ({MATCHING: "qk"} if last > MATCHING + 1 else {})
    return {f"model.layers.{at}.self_attn.{kind}_proj.weight" for at, kinds in layers.items() if last for kind in kinds}


def loudness(model: Any) -> float:
    """By what a model multiplies its embeddings on their way in. Their numbers are as much smaller, and so must their steps be:
    with the other family's, a fresh Gemma gets worse for a minute, and does not learn to choose within ten."""
    return math.sqrt(model.config.hidden_size) if model.config.model_type == "gemma2" else 1.0


def _quieten(model: Any, gemma: bool) -> None:
    for name, parameter in model.named_parameters():
        if gemma and "post_" in name and name.endswith("layernorm.weight"):
            parameter.fill_(QUIET - 1)  # Gemma's norms count from one
        elif not gemma and name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.zero_()
    model.model.norm.weight.fill_(FINAL - 1 if gemma else FINAL)


def _words(model: Any, gemma: bool) -> None:
    """All equally loud: the norm before a layer would make quieter words better matches for a head that asks only where."""
    words, own = model.get_input_embeddings().weight, _own(model)
    words.normal_()
    words[:, own:] = 0
    words *= SPREAD * math.sqrt(own) / words.norm(dim=1, keepdim=True)
    words[:, -1] = EVEN
    if gemma:  # and not on their way out
        words /= loudness(model)
        model.model.norm.weight.add_(1).mul_(loudness(model)).sub_(1)


def _notes(model: Any, gemma: bool) -> None:
    """First layer: one head attends to the token before, one to the token before that; each notes a view of what it sees."""
    import torch

    size, own, half = model.config.head_dim, _own(model), model.config.head_dim // 2
    attention, turns = model.model.layers[0].self_attn, _turns(model)[:FASTEST]
    ask, place = SHARP * _volume(model, noted=False) / EVEN, own
    attention.o_proj.weight.zero_()
    for head, (back, volume, held) in enumerate(zip((1, 2), (NOTED, EARLIER), _shares(model), strict=True)):
        query, key, value, out = _head(attention, head, size)
        query[:FASTEST, -1] = ask
        key[:FASTEST, -1] = ask * torch.cos(back * turns)  # turned back by so many places: the best match is there
        key[half : half + FASTEST, -1] = ask * torch.sin(back * turns)
        value[:held, :own] = _view(held, own)
        out[place : place + held, :held] = torch.eye(held) * volume * _volume(model, noted=False)
        place += held
    if gemma:
        model.model.layers[0].post_attention_layernorm.weight.fill_(_noted(model) - 1)


def _induction(model: Any, gemma: bool, layer: int) -> None:
    """Compares the present two words with the noted ones, and says the words that stand beside the best."""
    import torch

    size, own = model.config.head_dim, _own(model)
    attention, loud = model.model.layers[layer].self_attn, _volume(model, noted=True)
    attention.o_proj.weight.zero_()
    for head in range(own // size):
        part = slice(head * size, (head + 1) * size)
        value, out = _same_word(model, layer, head, SECOND)
        value.zero_()[:, part] = torch.eye(size)
        out[part] = torch.eye(size) * SAID * loud
    if gemma:
        spread = SAID * SPREAD * math.sqrt(own / model.config.hidden_size)
        model.model.layers[layer].post_attention_layernorm.weight.fill_(spread - 1)


def _same_word(model: Any, layer: int, head: int, second: float) -> tuple[Any, Any]:
    """A head that looks behind the other places of the present word (`second`: and of the one before); its values and out."""
    import torch

    size, own, (one, two) = model.config.head_dim, _own(model), _shares(model)
    turns = _turns(model)
    still = [i for i in range(size // 2) if turns[i] * STILL < 1]
    rows = torch.tensor(still + [i + size // 2 for i in still])
    strength = math.sqrt(MATCH * math.sqrt(size) * size / (len(rows) * one * NOTED)) * _volume(model, noted=True) / SPREAD
    query, key, value, out = _head(model.model.layers[layer].self_attn, head, size)
    value.normal_(0, RANDOM)
    look = _view(len(rows), one, seed=2 * head + 1) * strength
    query[rows, :own] = look @ _view(one, own)
    key[rows, own : own + one] = look
    if second:
        look = _view(len(rows), two, seed=2 * head + 2) * strength
        noted = _view(two, own) @ torch.linalg.pinv(_view(one, own))  # the word before, as the earlier note shows words
        query[rows, own : own + one] = look @ noted * (second / EARLIER)
        key[rows, own + one : own + one + two] = look
    return value, out


def _own(model: Any) -> int:
    """How many of a state's numbers are a word's own."""
    return model.config.hidden_size - 2 * model.config.head_dim


def _shares(model: Any) -> tuple[int, int]:
    """How many numbers view the word before, and how many the one before that."""
    size = model.config.head_dim
    return size, size - 1


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
    one, two = _shares(model)
    return SPREAD * math.sqrt((one * NOTED**2 + two * EARLIER**2) / model.config.hidden_size)


def _volume(model: Any, noted: bool) -> float:
    """The root mean square of a state: what the norm before a layer divides by."""
    words = (_own(model) * SPREAD**2 + EVEN**2) / model.config.hidden_size
    return math.sqrt(words + noted * _noted(model) ** 2)


def _view(rows: int, columns: int, seed: int = 0) -> Any:
    """A random view of some numbers in fewer, at right angles to each other (in more: turned round); the same at every call."""
    import torch

    tall = torch.randn(max(rows, columns), min(rows, columns), generator=torch.Generator().manual_seed(seed))
    found = torch.linalg.qr(tall)[0]
    return found.T if rows <= columns else found
