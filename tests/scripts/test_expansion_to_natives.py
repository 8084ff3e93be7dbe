"""Migration 0016 expands: what the release before appends has nothing of a provider's, and every format makes its own.

That release's append stores what the one of migration 0013 does; its pages and windows are those of today without a
format.
"""

import httpx
import psycopg
import pytest

from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.scripts import release_before_forks
from tests.scripts.test_expansion import Connection
from tests.scripts.test_expansion_to_forks import append

BROKEN = {
    "openai-chat": openai_chat.broken,
    "openai-responses": openai_responses.broken,
    "anthropic": anthropic.broken,
    "gemini": gemini.broken,
    "ai-sdk": ai_sdk.broken,
}

GIVEN = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "tool_use", "id": "b", "name": "f", "input": {}},
    ],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_history_of_both_releases_is_taken(
    name: str, api: httpx.Client, database: Connection, context_id: str
) -> None:
    append(database, release_before_forks, context_id, ". +a -a .")
    sent = {"format": "anthropic", "messages": [GIVEN]}
    assert api.post(f"/api/v1/contexts/{context_id}/messages", json=sent).status_code == 201
    append(database, release_before_forks, context_id, "-b .")

    answer = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": 1000, "format": name})

    assert answer.status_code == 200, answer.text
    assert BROKEN[name](answer.json()["data"]) == []
    assert (GIVEN in answer.json()["data"].get("messages", ())) == (name == "anthropic")


def test_the_columns_of_what_a_provider_gave_are_all_set_or_none(database: Connection, context_id: str) -> None:
    append(database, release_before_forks, context_id, ".")

    with pytest.raises(psycopg.errors.CheckViolation, match="messages_native_check"):
        database.execute("UPDATE messages SET native_format = 'gemini' WHERE context_id = %s", [context_id])
