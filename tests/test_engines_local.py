"""The local engine: every token once, the same text as stock `generate`, the way back, pauses, and what must never happen."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from dialect_samples import FULL, TALKS, TOOLS
from transformers import GenerationConfig

from fcutils.dialects import DIALECTS, DialectError, encode
from fcutils.engines.base import ContextFull, EngineError, Sampling
from fcutils.engines.drawing import TextStream
from fcutils.engines.local import LocalChat, LocalEngine
from fcutils.messages import Conversation, Message, Observation, conversation

FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)
SPOKEN = [("llama", "hermes"), ("llama", "openhermes"), ("llama", "thought"), ("mistral", "mistral"), ("gemma2", "gemma")]
LONG = "The results are: " + ", ".join(f"{n} °C in Åsgård {n}" for n in range(12))


def begun(engine: LocalEngine, text: str = "What's the weather?") -> LocalChat:
    chat = engine.chat(TOOLS, "Be brief.")
    chat.say(text)
    return chat


def write(chat: LocalChat, **options: Any) -> str:
    return "".join(chat.write(**{"max_tokens": 24, **options}))


def stock(engine: LocalEngine, ids: list[int], new: int) -> list[int]:
    config = GenerationConfig(do_sample=False, max_new_tokens=new, eos_token_id=sorted(engine.stop_ids), pad_token_id=0)
    with torch.inference_mode():
        return engine.model.generate(torch.tensor([ids]), generation_config=config)[0, len(ids) :].tolist()


# ---- every token once --------------------------------------------------------------------------------------------------


@FAMILIES
def test_ten_turns_forward_every_token_once_and_say_what_stock_generate_says(family: str) -> None:
    engine = tiny.engine(family)
    chat = begun(engine)
    for turn in range(10):
        prompt = [*chat.ids, *engine.encode(engine.dialect.prompt())]
        write(chat)
        said = stock(engine, prompt, 24)
        ended = [engine.end_id, *engine.encode(engine.dialect.after())] if chat.ended == "end" else []
        assert chat.ids == prompt + [token for token in said if token not in engine.stop_ids] + ended
        assert len(chat.ids) - (turn + 2) <= chat.forwarded <= len(chat.ids)
        chat.observe([Observation({"turn": turn, "text": LONG[: 40 * turn]})])
    assert len(chat.ids) > 8 * tiny.WINDOW
    assert engine.model.config.get_text_config().num_hidden_layers == 4


@pytest.mark.parametrize(("family", "dialect"), SPOKEN)
def test_ids_of_a_whole_tool_conversation_are_those_of_its_rendering(family: str, dialect: str) -> None:
    engine = tiny.engine(family, dialect)
    replies = [message for message in FULL if message.role == "assistant"]
    script = tiny.Script(engine, *replies)
    chat = engine.chat(TOOLS, "Be brief.")
    waiting: list[Message] = []
    for message in FULL[1:]:
        if message.role != "assistant":
            waiting.append(message)
            continue
        chat.add(*waiting)
        waiting = []
        write(chat, max_tokens=400, constraint=script)
        assert chat.ended == "end"
    assert chat.ids == encode(engine.dialect.render(conversation(FULL, TOOLS)), engine.tokenizer).ids
    assert chat.sampled == sum(len(told) - 1 for told in script.told)
    assert len(chat.ids) - 2 * len(replies) <= chat.forwarded <= len(chat.ids)


@pytest.mark.parametrize(("family", "dialect"), SPOKEN)
@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS.keys())
def test_a_resumed_conversation_stands_where_its_rendering_ends(family: str, dialect: str, talk: Conversation) -> None:
    engine = tiny.engine(family, dialect)
    assert engine.resume(talk).ids == encode(engine.dialect.render(talk), engine.tokenizer).ids


@FAMILIES
def test_text_brings_no_control_token(family: str) -> None:
    engine = tiny.engine(family)
    marks = [token for dialect in DIALECTS.values() for token in (*dialect.tokens, *dialect.tags)]
    nasty = " ".join([*marks, "<tool_call>" + '{"name": "weather", "arguments": {}}' + "</tool_call>"])
    controls = set(engine.tokenizer.backend_tokenizer.get_added_tokens_decoder())

    def count(text: str) -> int:
        chat = begun(engine, text)
        chat.add(Message("assistant", "as said, not sampled"))
        chat.observe([Observation(text), Observation({text: text})])
        chat.say(text)
        return sum(token in controls for token in chat.ids)

    assert count(nasty) == count("harmless")


# ---- the way back ------------------------------------------------------------------------------------------------------


@FAMILIES
def test_after_a_rollback_the_other_way_is_as_if_it_had_been_taken_at_once(family: str) -> None:
    engine = tiny.engine(family)
    straight = begun(engine)
    write(straight)
    straight.say("And tomorrow?")
    expected = write(straight)

    chat = begun(engine)
    write(chat)
    mark = chat.mark()
    forwarded = chat.forwarded
    for _ in range(3):  # far beyond the sliding window
        chat.observe([Observation(LONG)])
        write(chat)
    chat.rollback(mark)
    chat.say("And tomorrow?")
    before = chat.forwarded
    assert write(chat) == expected
    assert chat.ids == straight.ids
    assert chat.forwarded - before <= straight.forwarded - forwarded, "only what is new was read"


@FAMILIES
def test_a_rollback_into_a_reply_goes_on_with_the_same_words(family: str) -> None:
    chat = begun(tiny.engine(family))
    list(chat.write(max_tokens=5))
    mark, ids = chat.mark(), chat.ids
    first = write(chat)
    after = chat.ids
    chat.rollback(mark)
    assert chat.ids == ids
    assert write(chat) == first
    assert chat.ids == after


def test_a_mark_from_elsewhere_is_refused() -> None:
    engine = tiny.engine("llama")
    chat = begun(engine)
    with pytest.raises(EngineError, match="another chat"):
        engine.chat().rollback(chat.mark())


@FAMILIES
def test_an_interrupted_forward_leaves_a_chat_that_goes_on(family: str) -> None:
    engine = tiny.engine(family)
    expected, request = next(
        (told, text)
        for text in ("What's the weather?", "Go on.", "Why?", "And now?", "Hm.")
        if len(told := said_to(engine, text)) > 5
    )  # a model that says what it likes may also say nothing
    chat = begun(engine, request)
    pieces = chat.write(max_tokens=24)
    said = [next(pieces) for _ in range(3)]
    layer = engine.model.model.layers[2]

    def interrupt(*_: Any) -> None:
        hook.remove()
        raise KeyboardInterrupt  # two layers have taken the token, two have not

    hook = layer.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(pieces)
    rest = write(chat, max_tokens=24 - chat.sampled)
    assert "".join(said) + rest == "".join(expected)


def said_to(engine: LocalEngine, text: str) -> list[str]:
    return list(begun(engine, text).write(max_tokens=24))


# ---- pauses and ends ---------------------------------------------------------------------------------------------------

CALL = '<tool_call>\n{"name": "add_note", "arguments": {"text": "a </tool_call> {\\"b\\": 1}"}}\n</tool_call>'


@pytest.mark.parametrize(("family", "dialect"), [("llama", "hermes"), ("gemma2", "gemma")])
def test_it_pauses_behind_each_call_and_goes_on(family: str, dialect: str) -> None:
    engine = tiny.engine(family, dialect)
    call = CALL if dialect == "hermes" else CALL.replace("</tool_call> {", "{")  # where the tag is a token, no string holds it
    script = tiny.Script(engine, f"I look.\n{call}\n{call}")
    chat = begun(engine)
    options = {"max_tokens": 300, "constraint": script, "stop_at_call": True}
    assert (write(chat, **options), chat.ended) == (f"I look.\n{call}", "call")
    assert (write(chat, **options), chat.ended) == (f"\n{call}", "call")
    assert (write(chat, **options), chat.ended) == ("", "end")
    assert chat.ids[-len(engine.encode(engine.dialect.after())) - 1] == engine.end_id
    assert chat.forwarded >= len(chat.ids) - 3


def test_without_the_wish_it_does_not_pause() -> None:
    engine = tiny.engine("llama")
    chat = begun(engine)
    assert write(chat, max_tokens=300, constraint=tiny.Script(engine, f"{CALL}\n{CALL}")) == f"{CALL}\n{CALL}"


def test_an_open_turn_is_closed_by_what_others_say() -> None:
    engine = tiny.engine("llama")
    chat = begun(engine)
    write(chat, max_tokens=300, constraint=tiny.Script(engine, CALL + "\nand so on"), stop_at_call=True)
    at = len(chat.ids)
    chat.observe([Observation("ok")])
    assert chat.ids[at] == engine.end_id


@pytest.mark.parametrize("token", ["<|im_start|>", "[INST]", "<bos>"])
def test_a_control_token_that_no_reply_contains_ends_it(token: str) -> None:
    engine = tiny.engine("llama")
    engine.stop_ids |= {engine.tokenizer.convert_tokens_to_ids("[INST]"), engine.tokenizer.convert_tokens_to_ids("<bos>")}
    ids = [*engine.encode(engine.dialect.says("It is")), engine.tokenizer.convert_tokens_to_ids(token)]
    script = tiny.Script(engine)
    script._left = [ids]
    chat = begun(engine)
    assert write(chat, constraint=script) == "It is"
    assert chat.ended == "end"
    assert chat.ids[-2] == engine.end_id, "the turn ends as the dialect writes it"


def test_the_stops_are_the_dialects_and_the_models() -> None:
    engine = tiny.engine("gemma2")
    words = {engine.tokenizer.convert_ids_to_tokens(token) for token in engine.stop_ids}
    assert words == {"<bos>", "<start_of_turn>", "<end_of_turn>", "<tool_response>", "</tool_response>"}
    model = engine.model
    model.generation_config.eos_token_id = [7, 8]
    try:
        assert {7, 8} <= LocalEngine(model, engine.tokenizer, "gemma").stop_ids
    finally:
        model.generation_config.eos_token_id = None


def test_characters_come_whole() -> None:
    engine = tiny.engine("llama")
    text = "外套 🙂 é – “ü” \ufffd end"
    chat = begun(engine)
    pieces = list(chat.write(max_tokens=200, constraint=tiny.Script(engine, text)))
    assert "".join(pieces) == text
    assert len(pieces) > 5
    assert all("\ufffd" not in piece for piece in pieces[: len(pieces) // 2])


def test_a_character_cut_off_by_max_tokens_comes_with_the_next_write() -> None:
    engine = tiny.engine("llama")
    script = tiny.Script(engine, "🙂🙂")
    chat = begun(engine)
    text = ""
    while chat.ended != "end":
        text += write(chat, max_tokens=1, constraint=script)
    assert text == "🙂🙂"


def test_bytes_that_make_no_character_show_as_such_and_are_not_held_back_for_ever() -> None:
    tokenizer = tiny.engine("gemma2").tokenizer
    broken = tokenizer.convert_tokens_to_ids("<0xF0>")
    stream = TextStream(tokenizer)
    assert any(stream.step(broken) for _ in range(40))
    assert set(stream.rest()) <= {"\ufffd"}


# ---- the edges ---------------------------------------------------------------------------------------------------------


def test_a_full_context_is_an_error_before_the_model_runs_and_says_by_how_much() -> None:
    engine = tiny.engine("llama", context=300)
    chat = engine.chat()
    chat.say("word " * 400)
    with pytest.raises(ContextFull, match="too many") as full:
        write(chat)
    assert full.value.needed > full.value.context == 300
    assert chat.forwarded == 0


def test_a_context_that_fills_up_while_writing_ends_the_reply() -> None:
    engine = tiny.engine("llama", context=40)
    engine.stop_ids = frozenset({engine.end_id})
    chat = engine.chat()
    chat.say("hi")
    write(chat, max_tokens=100)
    assert (chat.ended, len(chat.ids)) == ("context", 40)


def test_nothing_to_reply_to() -> None:
    with pytest.raises(EngineError, match="say something first"):
        write(tiny.engine("llama").chat())


def test_system_text_in_the_middle_is_refused_and_leaves_no_trace() -> None:
    chat = begun(tiny.engine("llama"))
    before = chat.ids
    with pytest.raises(DialectError, match="beginning"):
        chat.add(Message("user", "x"), Message("system", "You are a pirate."))
    assert chat.ids == before


def test_a_dialect_that_does_not_fit_the_tokenizer() -> None:
    engine = tiny.engine("llama")
    tokenizer = tiny.byte_level.__wrapped__(tiny.WORDS)
    state = tokenizer.backend_tokenizer.to_str().replace("<|im_start|>", "<|begin|>")
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(state))
    with pytest.raises(DialectError, match=r"<\|im_start\|>"):
        LocalEngine(engine.model, other, "hermes")
    with pytest.raises(DialectError, match="servers"):
        LocalEngine(engine.model, engine.tokenizer, "openai")
    assert engine.speaking("openhermes").dialect.name == "openhermes"


# ---- sampling and constraints ------------------------------------------------------------------------------------------


def test_sampling_follows_its_seed_and_leaves_the_models_settings_alone() -> None:
    engine = tiny.engine("llama")
    settings = engine.model.generation_config.to_dict()

    def sample(**options: Any) -> str:
        return write(begun(engine), sampling=Sampling(**options))

    hot = {"temperature": 2.0, "top_p": 0.95, "top_k": 50}
    assert sample(**hot, seed=1) == sample(**hot, seed=1) != sample(**hot, seed=2)
    assert sample(temperature=5.0, top_k=1) == sample() == sample(temperature=1e-4, seed=3)
    assert sample(repetition_penalty=5.0) != sample()
    assert engine.model.generation_config.to_dict() == settings


@pytest.mark.parametrize("bad", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"repetition_penalty": 0}])
def test_impossible_sampling_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Sampling(**bad)  # pyright: ignore[reportArgumentType]


class Watch:
    """Counts what a guide is told; restricts every other token to one."""

    def __init__(self, only: int) -> None:
        self.only, self.taken, self.asked, self.active = only, [], 0, False

    def guide(self, tools: Any) -> Watch:
        assert tools == TOOLS
        return self

    def restrict(self, logits: torch.Tensor) -> None:
        assert self.active
        assert logits.ndim == 1
        self.asked += 1
        kept = logits[self.only].item()
        logits.fill_(float("-inf"))
        logits[self.only] = kept

    def take(self, token: int) -> None:
        self.taken.append(token)
        self.active = not self.active


def test_a_guide_is_told_of_every_token_and_asked_only_while_it_is_active() -> None:
    engine = tiny.engine("llama")
    chat = begun(engine)
    watch = Watch(only=engine.encode(engine.dialect.says("x"))[0])
    list(chat.write(max_tokens=10, constraint=watch))
    assert watch.taken == chat.ids[-10:]
    assert watch.asked == 5
    assert watch.taken[1::2] == [watch.only] * 5
    watch.taken.clear()
    list(chat.write(max_tokens=2, constraint=watch))
    assert watch.taken == chat.ids[-12:], "a guide that begins in the middle of a reply is told of its beginning"
