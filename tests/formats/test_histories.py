"""Histories that are made for tests of formats: the API takes each, and they are as hostile as they say."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from lib import jsontext
from lib.models import Append
from lib.queries import WindowQuery
from tests.formats.histories import MAX_MESSAGES, budgets_and_policies, histories

type Message = dict[str, Any]

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

# Any example will do, not the least.
FAST = settings(max_examples=3000, phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)


@settings(max_examples=300, deadline=None, suppress_health_check=SLOW)
@given(histories())
def test_the_api_takes_every_history(messages: list[Message]) -> None:
    body = json.dumps({"messages": messages})
    jsontext.parse(body)

    assert len(Append.model_validate_json(body).messages) == len(messages) <= MAX_MESSAGES


@given(budgets_and_policies())
def test_the_api_takes_every_policy(query: dict[str, str]) -> None:
    assert WindowQuery.model_validate(query).budget


def made(messages: list[Message]) -> list[list[str]]:
    """The ids of each message's calls."""
    return [[call["id"] for call in message.get("toolCalls") or []] for message in messages]


def flat(ids: list[list[str]]) -> list[str]:
    return [call_id for turn in ids for call_id in turn]


def answers(messages: list[Message]) -> Iterator[tuple[int, str]]:
    return ((place, one["toolCallId"]) for place, one in enumerate(messages) if one["role"] == "tool")


def followed(messages: list[Message], role: str) -> bool:
    """Whether a call is followed by a message of this role, and then by its answer."""
    ids = made(messages)
    return any(
        place > 1 and messages[place - 1]["role"] == role and call_id in ids[place - 2]
        for place, call_id in answers(messages)
    )


HOSTILE: dict[str, Callable[[list[Message]], bool]] = {
    "a call at the end": lambda messages: bool(made(messages)[-1]),
    "a call without an answer in the middle": lambda messages: any(
        ids and messages[place + 1]["role"] == "user" for place, ids in enumerate(made(messages)[:-1])
    ),
    "an answer without a call": lambda messages: any(
        call_id not in flat(made(messages)[:place]) for place, call_id in answers(messages)
    ),
    "an answer given twice": lambda messages: (
        len(set(answers(messages))) > len({call_id for _, call_id in answers(messages)})
    ),
    "a user between call and answer": lambda messages: followed(messages, "user"),
    "a system message between call and answer": lambda messages: followed(messages, "system"),
    "an assistant between call and answer": lambda messages: followed(messages, "assistant"),
    "an id twice in a turn": lambda messages: any(len(ids) > len(set(ids)) for ids in made(messages)),
    "an id in two turns": lambda messages: len(flat(made(messages))) > len(set(flat(made(messages)))),
    "an assistant first": lambda messages: messages[0]["role"] == "assistant",
    "system messages alone": lambda messages: all(message["role"] == "system" for message in messages),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_histories_are_found(what: str) -> None:
    assert find(histories(), HOSTILE[what], settings=FAST)
