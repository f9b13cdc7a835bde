"""What the Gemma models read: plain words for every call, plain text before that, and never a call.

That the streams hold nothing of the tests is `test_leakage.py`'s.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from itertools import islice, pairwise
from random import Random

import pytest

from fcutils.dialects import encode, get
from fcutils.engines.base import Written
from fcutils.evaluate import Score
from fcutils.messages import ToolCall
from fcutils.parsing import parse_reply
from fcutils.pocket import __main__ as command
from fcutils.pocket import documents, prose, prose_score
from fcutils.pocket.corpora import CORPORA, READS
from fcutils.pocket.corpus import DECIDED, WEIGHTS, written
from fcutils.pocket.export import read_log
from fcutils.pocket.measures import SETS, rows_of
from fcutils.pocket.models import SHAPES, build
from fcutils.pocket.tokenizer import GEMMA, save_tokenizer, train_tokenizer
from fcutils.pocket.train import Plan
from fcutils.pocket.validate import prose_rows, text_loss, texts, validate
from fcutils.universe import Recipe, corner, load

SMALL = Recipe(requests=(1, 3), tools=(1, 4))


@pytest.fixture(scope="module")
def where():
    return corner(load(), "train")


@pytest.fixture(scope="module")
def talks(where):
    return list(islice(prose.talks(where, 5, SMALL), 150))


@pytest.fixture(scope="module")
def folder(where, tmp_path_factory):
    path = tmp_path_factory.mktemp("gemma-tokenizer")
    words = [text for text, _ in islice(documents.documents(where, 1), 60)]
    words += ["".join(p.text for p in dialect.render(talk)) for talk, dialect, _ in islice(prose.talks(where, 2, SMALL), 60)]
    save_tokenizer(train_tokenizer(words, 1500, GEMMA), path, family="gemma")
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_every_call_is_said_in_plain_words_with_all_its_values(talks):
    calls = 0
    for talk, dialect, _ in talks:
        for message in talk.messages:
            assert not parse_reply(message.content).calls or message.role == "tool"
            for call in message.calls:
                calls += 1
                assert prose.OPENING in message.content
                assert dialect.thinks or re.match("(First |Now )?I would", message.content)
                assert all(value in message.content for value in prose.values_of(call)), message
                assert (f"use {call.name} to " in message.content) == (dialect.style == "naming")
                named = all(f"{key} set to " in message.content for key in prose.leaves(call.arguments))
                assert named or dialect.style != "detailed"
                assert (f"use {call.name}" in message.content) or dialect.style == "plain"
    assert calls > 150


def test_what_is_rendered_holds_no_call_and_shows_the_tools_as_the_gemma_dialect_does(talks):
    for talk, dialect, _ in talks:
        text = "".join(piece.text for piece in dialect.render(talk))
        gemma = "".join(piece.text for piece in get("gemma").render(replace(talk, messages=talk.messages[:2])))
        tools = gemma.partition("user\n")[2].partition("\n\nThink first")[0]
        assert tools and text.startswith(f"<bos><start_of_turn>user\n{tools}") == (dialect.listing == "json")
        assert all(tool["function"]["name"] in text and tool["function"]["description"] in text for tool in talk.tools)
        assert "<tool_call>" not in text and "<think>" not in text and '"arguments"' not in text
        said = "".join(piece.text for piece in dialect.render(talk) if piece.learn)
        assert not parse_reply(said.replace("<end_of_turn>", "")).calls
        assert "{" not in said or any("{" in m.content for m in talk.messages if m.role == "assistant")


def test_turns_alternate_and_a_result_follows_what_was_called_for(talks):
    shown = dropped = 0
    for talk, _, _ in talks:
        turns = [message.role for message in talk.messages if message.role != "system"]
        assert turns[0] == "user" and turns[-1] == "assistant"
        for before, after in pairwise(turns):
            assert after in {"user": ("assistant",), "assistant": ("user", "tool"), "tool": ("tool", "assistant")}[before]
        for before, after in pairwise(talk.messages):
            if before.calls:
                shown, dropped = shown + (after.role == "tool"), dropped + (after.role == "user")
    assert shown > dropped > 0


def test_a_second_step_is_foretold_by_its_tool_and_said_when_its_values_are_there(where):
    recipe = Recipe(requests=(1, 1))
    found = (one for one in prose.talks(where, 3, recipe) if one[0].meta["kinds"] == ["sequence"])
    for talk, _, _ in islice(found, 10):
        first, second = (message for message in talk.messages if message.calls)
        assert "First I would " in first.content and f"use {second.calls[0].name} with what that gives" in first.content
        assert "Now I would " in second.content


def test_a_phrase_says_what_its_template_leaves_out_under_the_offered_names(where):
    tool = prose.authored(where)["current_weather"]
    call = ToolCall("x", {"place": "Paris", "scaleOfTemp": "celsius"})
    assert prose.phrase(tool, call, ["place", "scaleOfTemp"]) == (
        "look up the current weather in Paris, with scale of temp celsius"
    )
    assert prose.step(tool, call, ["place", "scaleOfTemp"], "detailed") == (
        "use x with place set to Paris and scaleOfTemp set to celsius"
    )
    assert prose.sentence(["use f to a", "use g to b"], "", False) == "I would use f to a, and use g to b."


def test_values_and_names_weigh_more(talks, tokenizer):
    talk, dialect, _ = next(
        t for t in talks if t[1].style == "naming" and any(len(m.calls) > 0 and m.calls[0].arguments for m in t[0].messages)
    )
    encoded = encode(dialect.render(talk), tokenizer)
    assert {"name", "value", "text"} <= set(encoded.parts)
    example = written(talk, dialect, tokenizer, talks[0][2])
    for weight, learn, part in zip(example.weights, encoded.learn, encoded.parts, strict=True):
        assert not learn or weight in (WEIGHTS[part], WEIGHTS[part] * DECIDED)


def test_documents_answer_nobody(where):
    for text, _ in islice(documents.documents(where, 4), 80):
        assert "<start_of_turn>" not in text and not parse_reply(text, "gemma").calls
        assert not re.search(r"\{[A-Za-z_][\w.]*\}", text), "a hole was left open"


def test_streams_are_reproducible_and_fit(where, tokenizer):
    for name in CORPORA.keys() - {"calls"}:
        one, other = (list(islice(CORPORA[name].examples(where, tokenizer, 3, SMALL, 700), 12)) for _ in range(2))
        assert one == other != list(islice(CORPORA[name].examples(where, tokenizer, 4, SMALL, 700), 12))
        assert all(2 < len(example.ids) <= 700 and len(example.ids) == len(example.weights) for example in one)
        assert all(any(example.weights) for example in one)
    assert set(READS) == set(SHAPES) and set(READS.values()) == set(CORPORA)


def test_the_two_stages_of_one_run(where, tokenizer, folder, tmp_path, monkeypatch):
    """A stage of plain text, the next from its checkpoint, an export, and its table."""
    monkeypatch.setattr("fcutils.pocket.corpora.LOOK_ROWS", 2)
    monkeypatch.setattr(prose_score, "MAX_TOKENS", 4)

    def run(name, *more):
        monkeypatch.setattr(
            sys, "argv", ["pocket", "train", name, "--tokenizer", str(folder), "--run", str(tmp_path / name), *more]
        )
        assert command.main() == 0
        return [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]

    small = ["--minutes", "0.05", "--layers", "2", "--budget", "1024"]
    first = run("pocket-gemma", *small)
    assert set(first[-1]["scores"]["tools"]) == {"loss", "tokens"}
    second = run("pocket-gemma-it", "--from", str(tmp_path / "pocket-gemma"), *small, "--short", "0", "--strings", "0")
    assert second[-1]["phase"] == "full" and "tokens" in second[-1]["scores"]["phrasings"]
    assert "plan" in second[0], "another name's log is not this one's"
    on = ["--from", str(tmp_path / "pocket-gemma-it"), "--run", str(tmp_path / "on"), "--rates", "0.002", "0.001"]
    run("pocket-gemma-it", *small, *on)
    told = read_log(tmp_path / "on" / "log.jsonl")
    plans = [line["plan"] for line in told if "plan" in line]
    assert [plan["muon"] for plan in plans] == [Plan("x", 1).muon, 0.002] and plans[1]["planted"] == 0.002
    steps = [line["step"] for line in told]
    assert steps == sorted(steps) and steps[-1] > second[-1]["step"], "a stage counts on from the one before"
    argv = ["pocket", "score", "pocket-gemma-it", "--tokenizer", str(folder), "--run", str(tmp_path / "pocket-gemma-it")]
    monkeypatch.setattr(sys, "argv", [*argv, "--limit", "1"])
    assert command.main() == 0
    found = json.loads((tmp_path / "pocket-gemma-it" / "exported" / "scores.json").read_text())
    assert [line["name"] for line in found["table"]] == [measure.name for measure in prose_score.TABLE]
    assert found["model"] == "pocket-gemma-it" and found["sets"]["prose"]["unseen_tools"]["whole"]["n"] == 1


def test_from_a_folder_without_weights_says_so_in_one_line(folder, tmp_path, monkeypatch):
    argv = ["pocket", "train", "pocket-gemma-it", "--tokenizer", str(folder), "--from", str(tmp_path), "--run", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit, match=r"neither checkpoint\.pt nor an exported model"):
        command.main()


class Speaker:
    """Says what the authored sentence says."""

    name = "speaker"

    def __init__(self, texts):
        self._texts = texts

    def reply_many(self, talks, **settings):
        assert all(talk.messages[-1].role == "user" for talk in talks)
        return [Written(self._texts[str(talk.messages)], 1) for talk in talks]


def answers(one, rows, change):
    """Gold's first reply to each row, in plain words."""
    tools = {tool.name: tool for domain in load().domains.values() for tool in domain.tools.values()}
    found = {}
    for row in rows:
        said = prose.prose(row, tools, Random(0), prose_score.DIALECT)
        at = next(i for i, message in enumerate(said.messages) if message.role == "assistant")
        found[str(row.messages[:at])] = change(said.messages[at].content)
    return found


@pytest.mark.parametrize("one", SETS)
def test_one_who_says_the_authored_sentences_has_every_point(one):
    rows = rows_of(one, 25)

    def marks(change):
        return prose_score._marks_of(Speaker(answers(one, rows, change)), one, rows)

    found = marks(str)
    assert set(found.values()) == {Score(25, 25)}
    silent = marks(lambda text: "")
    assert all(score.hits == 0 for mark, score in silent.items() if mark not in ("plain", "values"))
    assert marks(lambda text: '<tool_call>\n{"name": "x", "arguments": {}}\n</tool_call>')["plain"].hits == 0


def test_a_model_is_measured_without_sampling(tokenizer):
    model = build("pocket-gemma-it", len(tokenizer), layers=2).eval()
    held = corner(load(), "validation", "tools")
    scores = validate(model, prose_rows(held, tokenizer, 12), "cpu")
    assert {"call", "values", "opens", "tokens"} <= set(scores) and all(0 <= share <= 1 for share in scores.values())
    assert text_loss(model, texts(held, tokenizer, 2), "cpu")["loss"] > 3
