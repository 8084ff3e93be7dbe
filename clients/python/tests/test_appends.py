"""How an append is split."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kata_context._appends import ANSWER_BYTES, MAX_BYTES, MAX_MESSAGES, parts

USER = {"role": "user", "content": "Hi"}

messages = st.lists(
    st.sampled_from(
        [
            USER,
            {"role": "assistant", "content": "x" * 700_000},
            {"role": "tool", "toolCallId": "1", "content": "é" * 1_100_000},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}] * 300},
            {"role": "user", "parts": [{"functionResponse": {}}]},
            {"role": "assistant", "content": "y" * 5_000_000},
        ]
    ),
    min_size=1,
    max_size=30,
)


def bodies(given: list[dict[str, Any]], **arguments: Any) -> list[dict[str, Any]]:
    """What would be sent, where nothing else is in the context."""
    stored: list[Any] = []
    sent = []
    for part in parts("x", given, arguments, stored):
        assert part.body
        sent.append({**json.loads(part.body), "key": part.headers["Idempotency-Key"], "bytes": len(part.body)})
        stored += [{"version": len(stored) + number} for number in range(1, len(sent[-1]["messages"]) + 1)]
    return sent


@settings(max_examples=60, deadline=None)
@given(messages, st.sampled_from([{}, {"format": "anthropic", "metadata": {"x": "é" * 2000}, "model": "m" * 255}]))
def test_parts_are_all_of_it_in_order_and_none_is_larger_than_it_must_be(
    given: list[dict[str, Any]], arguments: dict[str, Any]
) -> None:
    sent = bodies(given, **arguments)

    assert [message for body in sent for message in body["messages"]] == given
    for body in sent:
        count = len(body["messages"])
        assert count <= MAX_MESSAGES
        answer = count * (ANSWER_BYTES + len(str([body.get("metadata"), body.get("model")]).encode()))
        assert count == 1 or body["bytes"] + answer <= MAX_BYTES + 10_000
    assert len({body["key"] for body in sent}) == len(sent)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_a_turn_of_at_most_a_thousand_messages_is_never_split(tools: list[int]) -> None:
    given = [message for count in tools for message in (USER, *[{"role": "tool", "toolCallId": "1"}] * count)]
    sent = bodies(given)

    assert [body["messages"][0]["role"] for body in sent] == ["user"] * len(sent)


def test_the_same_call_makes_the_same_parts() -> None:
    given = [USER] * 2500

    assert bodies(given, idempotency_key="k") == bodies(given, idempotency_key="k")


def test_what_the_caller_expects_is_expected_of_the_first_and_followed_by_the_others() -> None:
    given = [USER] * 2500

    assert [body.get("expectedVersion") for body in bodies(given, expected_version=0)] == [0, 1000, 2000]
    assert [body.get("expectedVersion") for body in bodies(given, if_match='"7"')] == [None, 1000, 2000]
    assert [body.get("expectedVersion") for body in bodies(given)] == [None] * 3


def test_token_counts_and_state_go_where_they_belong() -> None:
    sent = bodies([USER] * 1500, format="openai-chat", token_counts=list(range(1500)), context_metadata={"a": 1})

    assert [body["tokenCounts"] for body in sent] == [list(range(1000)), list(range(1000, 1500))]
    assert ["contextMetadata" in body for body in sent] == [False, True]
