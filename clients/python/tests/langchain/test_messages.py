"""Messages come back equal."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from kata_context import Client
from kata_context.langchain import from_kata, to_kata

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(text, values, max_size=3)
ids = st.none() | st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
parts = st.one_of(
    text,
    st.builds(lambda said: {"type": "text", "text": said}, text),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, text),
    st.builds(lambda data: {"type": "image", "base64": data, "mime_type": "image/png"}, text),
    st.builds(lambda said, more: {"type": "reasoning", "reasoning": said, "extras": more}, text, objects),
    st.builds(lambda more: {**more, "kind": "other"}, objects),
)
content = text | st.lists(parts, max_size=3)
common: dict[str, Any] = {"content": content, "id": ids, "name": st.none() | text, "additional_kwargs": objects}
usage = st.fixed_dictionaries({"input_tokens": st.just(3), "output_tokens": st.just(4), "total_tokens": st.just(7)})
metadata = st.one_of(objects, st.fixed_dictionaries({"model_name": text, "logprobs": values}))
call = st.builds(lambda name, args, key: tool_call(name=name, args=args, id=key), text, objects, ids)
no_call = st.builds(
    lambda name, args, key, error: invalid_tool_call(name=name, args=args, id=key, error=error),
    st.none() | text,
    st.none() | text,
    ids,
    st.none() | text,
)
messages = st.one_of(
    st.builds(HumanMessage, **common),
    st.builds(SystemMessage, **common),
    st.builds(
        AIMessage,
        **common,
        response_metadata=metadata,
        usage_metadata=st.none() | usage,
        tool_calls=st.lists(call, max_size=3),
        invalid_tool_calls=st.lists(no_call, max_size=2),
    ),
    st.builds(
        ToolMessage,
        **common,
        tool_call_id=text,
        artifact=values,
        status=st.sampled_from(["success", "error"]),
    ),
    st.builds(ChatMessage, **common, role=st.sampled_from(["user", "assistant", "developer", "tool"])),
    st.builds(FunctionMessage, **{**common, "name": text}),
)


class TestRoundTrip:
    @given(st.lists(messages, min_size=1, max_size=5))
    @settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_goes_in_comes_out_equal(self, kata: Client, said: list[BaseMessage]) -> None:
        context = kata.create_context()["id"]

        kata.append(context, [to_kata(message) for message in said])

        assert [from_kata(message) for message in kata.messages(context)] == said

    def test_a_chunk_comes_back_as_one(self, kata: Client, context_id: str) -> None:
        chunk = AIMessageChunk(
            content="Hi", tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "c", "index": 0}], id="r"
        )

        kata.append(context_id, [to_kata(chunk)])

        assert [from_kata(message) for message in kata.messages(context_id)] == [chunk]

    def test_text_and_arguments_are_stored_once(self) -> None:
        message = AIMessage("A long text.", tool_calls=[tool_call(name="f", args={"body": "A long body."}, id="c")])

        stored = json.dumps(to_kata(message))

        assert (stored.count("A long text."), stored.count("A long body.")) == (1, 1)

    def test_what_json_cannot_say_becomes_what_comes_nearest(self, kata: Client, context_id: str) -> None:
        day = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
        artifact = [Document("page", metadata={"day": day}), b"\xff", float("nan"), (1, {2}), object(), {3: "three"}]

        kata.append(context_id, [to_kata(ToolMessage("a\0b\ud800", tool_call_id="c", artifact=artifact))])
        [back] = [from_kata(message) for message in kata.messages(context_id)]

        assert isinstance(back, ToolMessage)
        assert back.content == "a\ufffdb\ufffd"
        document = {"id": None, "metadata": {"day": "2026-11-22T00:00:00Z"}, "page_content": "page", "type": "Document"}
        assert back.artifact == [document, "_w==", None, [1, [2]], "<object>", {"3": "three"}]


class TestMessagesOfOthers:
    def test_they_have_what_a_message_of_langchain_says(self, kata: Client, context_id: str) -> None:
        call: Any = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
        broken: Any = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{"}}
        kata.append(
            context_id,
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "toolCalls": [call, broken]},
                {"role": "tool", "toolCallId": "c1", "toolName": "f", "content": "1"},
            ],
        )

        system, user, assistant, result = [from_kata(message) for message in kata.messages(context_id)]

        assert (type(system), system.content) == (SystemMessage, "Be brief.")
        assert (type(user), user.content) == (HumanMessage, [{"type": "text", "text": "Hi"}])
        assert isinstance(assistant, AIMessage)
        assert assistant.content == ""
        assert assistant.tool_calls == [tool_call(name="f", args={"a": 1}, id="c1")]
        assert [each["args"] for each in assistant.invalid_tool_calls] == ["{"]
        assert isinstance(result, ToolMessage)
        assert (result.tool_call_id, result.name, result.content) == ("c1", "f", "1")

    @pytest.mark.parametrize(
        "metadata",
        [
            {},
            {"langchain": None},
            {"langchain": "x"},
            {"langchain": {"type": "human"}},
            {"langchain": {"type": "robot", "data": {}}},
            {"langchain": {"type": "human", "data": []}},
            {"langchain": {"type": "human", "data": {"content": 5}}},
            {"langchain": {"type": ["human"], "data": {}}},
        ],
    )
    def test_metadata_that_are_none_of_ours_do_no_harm(
        self, kata: Client, context_id: str, metadata: dict[str, Any]
    ) -> None:
        kata.append(context_id, [{"role": "user", "content": "Hi", "metadata": metadata}])

        [back] = [from_kata(message) for message in kata.messages(context_id)]

        assert (type(back), back.content) == (HumanMessage, "Hi")
