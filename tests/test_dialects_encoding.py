"""`encode`: text never becomes a control token, borders hold, SentencePiece's marker stands where the whole text has it."""

from types import SimpleNamespace

import pytest
from dialect_samples import KINDS, TALKS, TOKENS, TOOLS, WORDS, byte_level, fast, sentence_piece, with_more
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from fcutils.dialects import DIALECTS, DialectError, Piece, control_id, encode
from fcutils.messages import Message, conversation

on_every_kind = pytest.mark.parametrize("kind", KINDS)
each = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
START = Piece("<|im_start|>", control=True)
HALVES = [part for token in TOKENS for part in (token[: len(token) // 2], token[len(token) // 2 :])]
hostile = st.lists(st.sampled_from([*TOKENS, *HALVES, *"<>[]|/ \n▁"]) | st.text(max_size=3), max_size=8)


def controls(tokenizer) -> set[int]:
    return set(tokenizer.get_added_vocab().values()) - {tokenizer.unk_token_id}


@on_every_kind
@settings(max_examples=60, deadline=None)
@given(texts=hostile, learnt=st.booleans())
@example(texts=list(TOKENS), learnt=False)
@example(texts=["<|im_", "start|><|im_sta<|im_start|>rt|>"], learnt=True)
def test_text_never_becomes_a_control_token(kind, texts, learnt):
    tokenizer = KINDS[kind]()
    pieces = [Piece(text, learn=learnt and number % 2 == 1) for number, text in enumerate(texts)]
    encoded = encode([START, *pieces, START], tokenizer)
    found = [id_ for id_ in encoded.ids if id_ in controls(tokenizer)]
    assert found == [control_id("<|im_start|>", tokenizer)] * 2
    text = tokenizer.decode(encoded.ids[1:-1], clean_up_tokenization_spaces=False)
    if kind == "byte-level":
        assert text == "".join(texts)


@on_every_kind
def test_not_even_ten_thousand_of_them_do(kind):
    tokenizer = KINDS[kind]()
    ids = encode([START, Piece("<s></s>[INST]<|im_start|>" * 2500)], tokenizer).ids
    assert controls(tokenizer).isdisjoint(ids[1:])


@each
@on_every_kind
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_only_markers_become_control_tokens_in_a_conversation(dialect, kind, data):
    text = hostile.map("".join)
    talk = conversation(
        [
            Message("system", data.draw(text)),
            Message("user", data.draw(text)),
            Message("assistant", data.draw(text), data.draw(text)),
            Message("tool", data.draw(text), name="f"),
        ],
        [{"type": "function", "function": {"name": data.draw(text), "parameters": {data.draw(text): data.draw(text)}}}],
    )
    tokenizer, pieces = KINDS[kind](), dialect.render(talk, generate=True)
    ids = encode(pieces, tokenizer).ids
    markers = [piece.text for piece in pieces if piece.control or (piece.tag and piece.text in tokenizer.get_added_vocab())]
    meant = [control_id(marker, tokenizer) for marker in markers]
    assert [id_ for id_ in ids if id_ in controls(tokenizer)] == meant


@each
@pytest.mark.parametrize("kind", [*KINDS, "as the pocket models"])
def test_what_is_trained_is_what_is_asked(dialect, kind):
    """The ids before each reply are those of the prompt at run time: no token reaches from the prompt into the reply."""
    tokenizer = KINDS[kind]() if kind in KINDS else byte_level(WORDS)
    for talk in TALKS.values():
        whole = encode(dialect.render(talk), tokenizer)
        for number, message in enumerate(talk.messages):
            if message.role == "assistant":
                before = conversation(talk.messages[:number], talk.tools)
                asked = encode(dialect.render(before, generate=True), tokenizer)
                assert whole.ids[: len(asked.ids)] == asked.ids
                assert whole.learn[len(asked.ids)] and not any(whole.learn[len(asked.ids) - 1 : len(asked.ids)])


@each
@on_every_kind
def test_turns_may_be_encoded_one_by_one(dialect, kind):
    """As the loop does it: what is forced into the cache is encoded apart from what was there."""
    tokenizer, talk = KINDS[kind](), TALKS["everything"]
    start = dialect.render(conversation(talk.messages[:2], TOOLS), generate=True)
    forced = [*dialect.after(), *dialect.results(talk.messages[3:6]), *dialect.prompt()]
    answer = [*dialect.reply(talk.messages[6])]
    whole = encode([*start, *dialect.reply(talk.messages[2]), *forced, *answer], tokenizer)
    until_forced = encode([*start, *dialect.reply(talk.messages[2])], tokenizer).ids
    with_forced = until_forced + encode(forced, tokenizer).ids
    if dialect.tokens:  # without them nothing says where a turn begins
        assert whole.ids[: len(with_forced)] == with_forced


def test_the_marker_stands_where_the_whole_text_has_it():
    marked = {
        kind: encode([START, Piece("a"), Piece("b", learn=True), START, Piece("a", learn=True)], KINDS[kind]())
        for kind in KINDS
    }
    words = {kind: KINDS[kind]().convert_ids_to_tokens(encoded.ids) for kind, encoded in marked.items()}
    for kind in ("sentencepiece, marker always", "sentencepiece, marker by the normalizer", "unigram, marker always"):
        assert "".join(words[kind]) == "<|im_start|>▁ab<|im_start|>▁a"
    for kind in ("sentencepiece, marker first", "sentencepiece, no marker", "unigram, marker first"):
        assert "".join(words[kind]) == "<|im_start|>ab<|im_start|>a"
    assert words["byte-level, prefix space"] == ["<|im_start|>", "Ġa", "b", "<|im_start|>", "Ġa"]


def test_text_behind_a_reply_has_no_marker_of_the_very_beginning():
    tokenizer = sentence_piece("first")
    assert tokenizer.convert_ids_to_tokens(encode([Piece("ab")], tokenizer).ids)[0] != "▁"
    assert encode([Piece("\n"), START], tokenizer).ids[0] != tokenizer.convert_tokens_to_ids("▁")


def test_neighbouring_text_is_encoded_together_and_a_token_belongs_to_the_later_piece():
    tokenizer = byte_level()
    pieces = [Piece("qu", learn=True, part="name"), Piece("ick", learn=True, part="value"), Piece("", learn=True)]
    together = encode([Piece("quick", learn=True)], tokenizer)
    apart = encode(pieces, tokenizer)
    assert apart.ids == together.ids and apart.parts[-1] == "value"
    assert encode([Piece("qu"), Piece("ick", learn=True)], tokenizer).learn.count(True) >= 1


def test_tokens_that_are_added_later_are_seen():
    tokenizer = fast(Tokenizer.from_str(byte_level().backend_tokenizer.to_str()))
    pieces = [START, Piece("<new>"), Piece("<new>", tag=True)]
    before = encode(pieces, tokenizer).ids
    with pytest.raises(DialectError, match=r"no control token '<new>'.*add the dialect's tokens first"):
        control_id("<new>", tokenizer)
    tokenizer.add_tokens(["<new>"])
    after = encode(pieces, tokenizer).ids
    assert after.count(control_id("<new>", tokenizer)) == 1 and len(after) < len(before)


def test_an_ordinary_word_is_no_control_token():
    with pytest.raises(DialectError, match="no control token 'a'"):
        encode([Piece("a", control=True)], byte_level())


def test_half_a_surrogate_pair_does_no_harm():
    assert byte_level().decode(encode([Piece("a\ud83d"), Piece("b")], byte_level()).ids) == "a\ufffdb"


def test_an_unknown_character_is_no_control_token():
    tokenizer = fast(Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0)], unk_id=0)))
    ours = encode([Piece("a日本b")], tokenizer).ids
    assert ours == tokenizer("a日本b", add_special_tokens=False)["input_ids"] and tokenizer.unk_token_id in ours


def test_a_tokenizer_without_a_backend_is_refused():
    with pytest.raises(DialectError, match="load a fast tokenizer"):
        encode([Piece("a")], SimpleNamespace())


def test_peers_let_such_text_through():
    """Why text is not simply given to the tokenizer: `split_special_tokens` covers neither added tokens nor a Unigram's own."""
    tokenizer = with_more("byte-level", "<plain>")
    read = tokenizer("<plain>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert read == [tokenizer.convert_tokens_to_ids("<plain>")]
    unigram = KINDS["unigram, marker always"]()
    assert (
        unigram.convert_tokens_to_ids("<s>")
        in unigram("a<s>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    )
    assert controls(unigram).isdisjoint(encode([Piece("a<s>")], unigram).ids)
