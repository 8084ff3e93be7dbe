"""Policies: how a context's windows are chosen, unless a request says otherwise."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

CONTEXTS = "/api/v1/contexts"
JSON = {"content-type": "application/json"}
MOST = 2**31 - 1

PLAIN = {
    "keepPreamble": False,
    "keepRequest": False,
    "startOn": "any",
    "step": 0,
    "clearToolResults": None,
    "compactionDue": None,
}
FULL = {
    "budget": 8000,
    "keepPreamble": True,
    "keepRequest": True,
    "startOn": "user",
    "step": 2000,
    "clearToolResults": {"keepTokens": 4000},
    "compactionDue": {"threshold": 0.8, "keepTokens": 4000},
}

# The edges of what each member takes: (policy, how it is shown).
GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (FULL, FULL),
    ({"budget": 1}, {"budget": 1}),
    ({"budget": MOST}, {"budget": MOST}),
    ({"step": 0}, {"step": 0}),
    ({"step": MOST}, {"step": MOST}),
    ({"startOn": "any"}, {"startOn": "any"}),
    ({"keepPreamble": False, "keepRequest": False}, {"keepPreamble": False, "keepRequest": False}),
    ({"clearToolResults": {"keepTokens": 0}}, {"clearToolResults": {"keepTokens": 0}}),
    ({"clearToolResults": {"keepTokens": MOST}}, {"clearToolResults": {"keepTokens": MOST}}),
    (
        {"compactionDue": {"threshold": 1, "keepTokens": MOST}},
        {"compactionDue": {"threshold": 1, "keepTokens": MOST}},
    ),
    (
        {"compactionDue": {"threshold": 5e-324, "keepTokens": 0}},
        {"compactionDue": {"threshold": 5e-324, "keepTokens": 0}},
    ),
    # A number is a number, however many zeros stand behind its point.
    ({"budget": 8000.0, "step": 0.0}, {"budget": 8000, "step": 0}),
    ({"clearToolResults": {"keepTokens": 4e3}}, {"clearToolResults": {"keepTokens": 4000}}),
]

BAD: list[tuple[Any, str]] = [
    (5, "/policy"),
    ("none", "/policy"),
    ([], "/policy"),
    (True, "/policy"),
    ({"budgets": 1}, "/policy/budgets"),
    ({"keep_preamble": True}, "/policy/keep_preamble"),
    ({f"x{number}": 0 for number in range(30)}, "/policy"),
    ({"budget": 0}, "/policy/budget"),
    ({"budget": -1}, "/policy/budget"),
    ({"budget": MOST + 1}, "/policy/budget"),
    ({"budget": 8000.5}, "/policy/budget"),
    ({"budget": "8000"}, "/policy/budget"),
    ({"budget": True}, "/policy/budget"),
    ({"budget": 1e300}, "/policy/budget"),
    ({"keepPreamble": "true"}, "/policy/keepPreamble"),
    ({"keepPreamble": 1}, "/policy/keepPreamble"),
    ({"keepRequest": 0}, "/policy/keepRequest"),
    ({"startOn": "tool"}, "/policy/startOn"),
    ({"startOn": ""}, "/policy/startOn"),
    ({"startOn": True}, "/policy/startOn"),
    ({"step": -1}, "/policy/step"),
    ({"step": MOST + 1}, "/policy/step"),
    ({"step": 0.5}, "/policy/step"),
    ({"step": "0"}, "/policy/step"),
    ({"step": False}, "/policy/step"),
    ({"clearToolResults": 4000}, "/policy/clearToolResults"),
    ({"clearToolResults": "off"}, "/policy/clearToolResults"),
    ({"clearToolResults": []}, "/policy/clearToolResults"),
    ({"clearToolResults": {}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": None}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": -1}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": MOST + 1}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": 1.5}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": "1"}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": True}}, "/policy/clearToolResults/keepTokens"),
    ({"clearToolResults": {"keepTokens": 1, "x": 1}}, "/policy/clearToolResults/x"),
    ({"compactionDue": 0.8}, "/policy/compactionDue"),
    ({"compactionDue": {"threshold": 0.8}}, "/policy/compactionDue/keepTokens"),
    ({"compactionDue": {"keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": None, "keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": 0, "keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": -0.1, "keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": 1.0000000000000002, "keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": "0.8", "keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": True, "keepTokens": 1}}, "/policy/compactionDue/threshold"),
    ({"compactionDue": {"threshold": 0.8, "keepTokens": -1}}, "/policy/compactionDue/keepTokens"),
    ({"compactionDue": {"threshold": 0.8, "keepTokens": MOST + 1}}, "/policy/compactionDue/keepTokens"),
    ({"compactionDue": {"threshold": 0.8, "keepTokens": 1, "x": 1}}, "/policy/compactionDue/x"),
]


def create(api: httpx.Client, policy: Any = None, **members: Any) -> dict[str, Any]:
    answer = api.post(CONTEXTS, json={"policy": policy, **members})
    assert answer.status_code == 201, answer.text
    context: dict[str, Any] = answer.json()["data"]
    return context


def patch(api: httpx.Client, context_id: str, policy: Any) -> Any:
    answer = api.patch(f"{CONTEXTS}/{context_id}", json={"policy": policy})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["policy"]


def window(api: httpx.Client, context_id: str, **params: Any) -> dict[str, Any]:
    answer = api.get(f"{CONTEXTS}/{context_id}/window", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def shown(api: httpx.Client, context_id: str, **params: Any) -> dict[str, Any]:
    """The policy as a window shows it."""
    policy: dict[str, Any] = window(api, context_id, **params)["policy"]
    return policy


def pointers(refused: httpx.Response, code: str) -> list[str]:
    assert (refused.status_code, refused.json()["code"]) == (400, code), refused.text
    return [place["pointer"] for place in refused.json()["errors"]]


class TestCreate:
    @pytest.mark.parametrize(("policy", "stored"), GOOD)
    def test_keeps_each_member_up_to_its_edge(
        self, api: httpx.Client, policy: dict[str, Any], stored: dict[str, Any]
    ) -> None:
        context = create(api, policy)

        assert context["policy"] == stored
        assert api.get(f"{CONTEXTS}/{context['id']}").json()["data"] == context

    def test_of_none_shows_an_empty_one(self, api: httpx.Client) -> None:
        assert create(api)["policy"] == {}
        assert api.post(CONTEXTS).json()["data"]["policy"] == {}

    def test_takes_null_for_an_absent_member(self, api: httpx.Client) -> None:
        assert create(api, dict.fromkeys(FULL))["policy"] == {}
        assert create(api, {**FULL, "step": None, "compactionDue": None})["policy"] == {
            name: value for name, value in FULL.items() if name not in {"step", "compactionDue"}
        }

    def test_shows_whole_numbers_as_such(self, api: httpx.Client) -> None:
        answer = api.post(CONTEXTS, content='{"policy":{"budget":8000.0,"step":2E3}}', headers=JSON)

        assert '"budget": 8000' in answer.text
        assert '"budget": 8000.' not in answer.text
        assert answer.json()["data"]["policy"] == {"budget": 8000, "step": 2000}

    @pytest.mark.parametrize(("policy", "pointer"), BAD)
    def test_refuses_what_is_none_and_points_at_it(self, api: httpx.Client, policy: Any, pointer: str) -> None:
        external_id = str(uuid4())

        refused = api.post(CONTEXTS, json={"externalId": external_id, "policy": policy})

        assert pointers(refused, "invalid_body") == [pointer]
        assert api.get(CONTEXTS, params={"externalId": external_id}).json()["data"] == []

    def test_names_all_that_is_wrong(self, api: httpx.Client) -> None:
        refused = api.post(CONTEXTS, json={"policy": {"budget": 0, "stride": 1, "compactionDue": {"threshold": 2}}})

        assert set(pointers(refused, "invalid_body")) == {
            "/policy/budget",
            "/policy/stride",
            "/policy/compactionDue/threshold",
            "/policy/compactionDue/keepTokens",
        }

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e-400"])
    def test_refuses_a_threshold_that_is_no_number(self, api: httpx.Client, number: str) -> None:
        body = f'{{"policy":{{"compactionDue":{{"threshold":{number},"keepTokens":1}}}}}}'

        refused = api.post(CONTEXTS, content=body, headers=JSON)

        assert pointers(refused, "invalid_body") == ["/policy/compactionDue/threshold"]

    def test_with_a_key_again_gets_the_first_answer(self, api: httpx.Client) -> None:
        headers = {"idempotency-key": str(uuid4())}
        first = api.post(CONTEXTS, json={"policy": FULL}, headers=headers)
        patch(api, first.json()["data"]["id"], None)

        again = api.post(CONTEXTS, json={"policy": FULL}, headers=headers)
        other = api.post(CONTEXTS, json={"policy": {**FULL, "step": 1}}, headers=headers)

        assert first.json()["data"]["policy"] == FULL
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    def test_leaves_that_of_a_context_with_the_external_id_alone(self, api: httpx.Client) -> None:
        external_id = str(uuid4())
        context = create(api, {"budget": 1}, externalId=external_id)

        found = api.post(CONTEXTS, json={"externalId": external_id, "policy": FULL})

        assert (found.status_code, found.json()["data"]) == (200, context)


class TestList:
    def test_shows_it(self, api: httpx.Client) -> None:
        mark = str(uuid4())
        contexts = [create(api, policy, metadata={"mark": mark}) for policy in (FULL, None, {"step": 5})]

        listed = api.get(CONTEXTS, params={"metadata": f'{{"mark": "{mark}"}}', "order": "asc"}).json()["data"]

        assert listed == contexts
        assert [context["policy"] for context in listed] == [FULL, {}, {"step": 5}]


class TestUpdate:
    @pytest.mark.parametrize(("policy", "stored"), GOOD)
    def test_keeps_each_member_up_to_its_edge(
        self, api: httpx.Client, context_id: str, policy: dict[str, Any], stored: dict[str, Any]
    ) -> None:
        assert patch(api, context_id, policy) == stored
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["policy"] == stored

    @pytest.mark.parametrize(
        ("target", "patched", "merged"),
        [
            (FULL, {}, FULL),
            (FULL, None, {}),
            ({}, None, {}),
            ({}, {"step": None}, {}),
            ({"budget": 5}, {"step": 1}, {"budget": 5, "step": 1}),
            ({"budget": 5, "step": 1}, {"budget": 6}, {"budget": 6, "step": 1}),
            ({"budget": 5, "step": 1}, {"budget": None}, {"step": 1}),
            (FULL, dict.fromkeys(FULL), {}),
            ({"clearToolResults": {"keepTokens": 1}}, {"clearToolResults": None}, {}),
            (
                {"compactionDue": {"threshold": 0.5, "keepTokens": 1}},
                {"compactionDue": {"threshold": 0.25, "keepTokens": 2}},
                {"compactionDue": {"threshold": 0.25, "keepTokens": 2}},
            ),
            ({"startOn": "user"}, {"startOn": "any"}, {"startOn": "any"}),
            ({"keepRequest": True}, {"keepRequest": False}, {"keepRequest": False}),
        ],
    )
    def test_merges_as_rfc_7396_says(self, api: httpx.Client, target: Any, patched: Any, merged: Any) -> None:
        assert patch(api, create(api, target)["id"], patched) == merged

    def test_takes_the_two_objects_whole(self, api: httpx.Client) -> None:
        """A merge would take one member of them; each is given whole or is null."""
        context = create(api, FULL)

        for part, missing in (({"threshold": 0.5}, "keepTokens"), ({"keepTokens": 5}, "threshold")):
            refused = api.patch(f"{CONTEXTS}/{context['id']}", json={"policy": {"compactionDue": part}})
            assert pointers(refused, "invalid_body") == [f"/policy/compactionDue/{missing}"]
        assert api.get(f"{CONTEXTS}/{context['id']}").json()["data"] == context

    def test_of_something_else_leaves_it(self, api: httpx.Client) -> None:
        context = create(api, FULL)

        renamed = api.patch(f"{CONTEXTS}/{context['id']}", json={"name": "n", "metadata": {"a": 1}}).json()["data"]

        assert (renamed["name"], renamed["policy"]) == ("n", FULL)

    @pytest.mark.parametrize(("policy", "pointer"), BAD)
    def test_refuses_what_is_none_and_changes_nothing(self, api: httpx.Client, policy: Any, pointer: str) -> None:
        path = f"{CONTEXTS}/{create(api, FULL, name='before')['id']}"
        before, window_before = api.get(path), api.get(f"{path}/window")

        refused = api.patch(path, json={"name": "after", "policy": policy})

        assert pointers(refused, "invalid_body") == [pointer]
        after = api.get(path)
        assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
        assert api.get(f"{path}/window").headers["etag"] == window_before.headers["etag"]

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
    def test_refuses_a_threshold_that_is_no_number(self, api: httpx.Client, context_id: str, number: str) -> None:
        body = f'{{"policy":{{"compactionDue":{{"threshold":{number},"keepTokens":1}}}}}}'

        refused = api.patch(f"{CONTEXTS}/{context_id}", content=body, headers=JSON)

        assert pointers(refused, "invalid_body") == ["/policy/compactionDue/threshold"]
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["policy"] == {}

    def test_counts_for_the_past_as_well(self, api: httpx.Client, context_id: str) -> None:
        """Policies are settings, and not history."""
        history(api, context_id)
        patch(api, context_id, {"budget": 20, "keepPreamble": True})

        assert versions(window(api, context_id, at=2)) == [1, 2]

    def test_moves_the_contexts_etag(self, api: httpx.Client, context_id: str) -> None:
        path = f"{CONTEXTS}/{context_id}"
        seen = {"if-match": api.get(path).headers["etag"]}

        assert api.patch(path, json={"policy": {"step": 1}}, headers=seen).status_code == 200
        assert api.patch(path, json={"policy": {"step": 2}}, headers=seen).status_code == 412
        assert api.get(path).json()["data"]["policy"] == {"step": 1}


def history(api: httpx.Client, context_id: str) -> None:
    """A system message, a request, a call with a long result, a word, a call with a short result: 110 tokens."""

    def call(call_id: str) -> dict[str, Any]:
        made = [{"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        return {"role": "assistant", "content": None, "toolCalls": made, "tokenCount": 10}

    messages = [
        {"role": "system", "content": "s", "tokenCount": 10},
        {"role": "user", "content": "u", "tokenCount": 10},
        call("a"),
        {"role": "tool", "content": "x", "toolCallId": "a", "tokenCount": 50},
        {"role": "assistant", "content": "w", "tokenCount": 10},
        call("b"),
        {"role": "tool", "content": "x", "toolCallId": "b", "tokenCount": 10},
    ]
    answer = api.post(f"{CONTEXTS}/{context_id}/messages", json={"messages": messages})
    assert answer.status_code == 201, answer.text


def versions(body: dict[str, Any]) -> list[int]:
    return [message["version"] for message in body["data"]]


class TestParameters:
    """Each member is a parameter of the window as well, and overrides the stored one."""

    @pytest.mark.parametrize(
        ("budget", "member", "stored", "on", "off", "kept", "plain"),
        [
            (40, "keepPreamble", True, "true", "false", [1, 5, 6, 7], [5, 6, 7]),
            (40, "keepRequest", True, "true", "false", [2, 5, 6, 7], [5, 6, 7]),
            (110, "startOn", "user", "user", "any", [2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]),
            (30, "step", 15, "15", "0", [6, 7], [5, 6, 7]),
            (60, "clearToolResults", {"keepTokens": 20}, "20", "off", [2, 3, 4, 5, 6, 7], [5, 6, 7]),
        ],
    )
    def test_override_the_stored_member(
        self,
        api: httpx.Client,
        context_id: str,
        *,
        budget: int,
        member: str,
        stored: Any,
        on: str,
        off: str,
        kept: list[int],
        plain: list[int],
    ) -> None:
        history(api, context_id)
        asked = window(api, context_id, budget=budget, **{member: on})
        assert (versions(asked), asked["policy"][member]) == (kept, stored)
        assert versions(window(api, context_id, budget=budget)) == plain

        patch(api, context_id, {"budget": budget, member: stored})

        assert window(api, context_id) == asked
        without = window(api, context_id, **{member: off})
        assert (versions(without), without["policy"][member]) == (plain, PLAIN[member])
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["policy"] == {"budget": budget, member: stored}

    def test_of_the_budget_does_as_well(self, api: httpx.Client, context_id: str) -> None:
        history(api, context_id)
        patch(api, context_id, {"budget": 20})

        assert (versions(window(api, context_id)), window(api, context_id)["budget"]) == ([6, 7], 20)
        assert versions(window(api, context_id, budget=30)) == [5, 6, 7]

    def test_of_a_compaction_due_does_as_well(self, api: httpx.Client, context_id: str) -> None:
        history(api, context_id)
        due = {"throughVersion": 4, "messages": 4, "tokens": 80}
        asked = window(api, context_id, budget=60, compactionDue="0.5,30")
        assert (asked["compactionDue"], asked["policy"]["compactionDue"]) == (
            due,
            {"threshold": 0.5, "keepTokens": 30},
        )

        patch(api, context_id, {"budget": 60, "compactionDue": {"threshold": 0.5, "keepTokens": 30}})

        assert window(api, context_id) == asked
        assert window(api, context_id, compactionDue="off")["compactionDue"] is None
        assert window(api, context_id, compactionDue="1,30", budget=109)["compactionDue"] == due
        assert window(api, context_id, compactionDue="1.0,30", budget=110)["compactionDue"] is None

    def test_set_the_whole_policy_aside_with_none(self, api: httpx.Client, context_id: str) -> None:
        history(api, context_id)
        plain = [window(api, context_id, budget=budget) for budget in (30, 40, 60, 110)]
        patch(api, context_id, FULL)

        assert [window(api, context_id, budget=budget, policy="none") for budget in (30, 40, 60, 110)] == plain
        assert shown(api, context_id, budget=40, policy="none") == {"budget": 40, **PLAIN}
        assert shown(api, context_id, budget=40, policy="none", step=5) == {"budget": 40, **PLAIN, "step": 5}

    def test_need_a_budget_where_the_policy_has_none(self, api: httpx.Client, context_id: str) -> None:
        path = f"{CONTEXTS}/{context_id}/window"
        for policy, params in (
            ({}, {}),
            ({"step": 5}, {}),
            ({"budget": 5}, {"policy": "none"}),
            ({"budget": None}, {"step": "1"}),
        ):
            patch(api, context_id, policy)
            refused = api.get(path, params=params)
            assert pointers(refused, "invalid_parameter") == ["/budget"]

    def test_all_together_show_all(self, api: httpx.Client, context_id: str) -> None:
        asked = {
            **FULL,
            "keepPreamble": "true",
            "keepRequest": "true",
            "clearToolResults": 4000,
            "compactionDue": "0.8,4000",
        }

        assert shown(api, context_id, **asked) == FULL

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            *[("budget", value) for value in ("", "0", "-1", "1.0", "1e3", "off", "null", str(MOST + 1))],
            *[("keepPreamble", value) for value in ("", "1", "True", "yes", "null")],
            *[("keepRequest", value) for value in ("", "0", "FALSE", "no")],
            *[("startOn", value) for value in ("", "User", "tool", "off")],
            *[("step", value) for value in ("", "-1", "1.0", "off", str(MOST + 1), "9" * 400)],
            *[("clearToolResults", value) for value in ("", "-1", "1.5", "on", "OFF", '{"keepTokens":1}', "1,2")],
            ("clearToolResults", str(MOST + 1)),
            *[("compactionDue", value) for value in ("", "0.8", "0.8,", ",4000", "0.8,-1", "0.8,1.5", "0.8, 4000")],
            *[("compactionDue", value) for value in ("0,4000", "0.0,4000", "1.1,4000", "-0.5,4000", "2,4000", "on")],
            *[("compactionDue", value) for value in ("NaN,4000", "nan,1", "Infinity,4000", "inf,1", "8e-1,4000")],
            *[("compactionDue", value) for value in (f"0.8,{MOST + 1}", "0.8,4000,1", ".8,1", "\u0660.8,1")],
            *[("policy", value) for value in ("", "off", "None", "{}")],
        ],
    )
    def test_that_are_none_are_refused_and_pointed_at(
        self, api: httpx.Client, context_id: str, member: str, value: str
    ) -> None:
        patch(api, context_id, {"budget": 5})

        refused = api.get(f"{CONTEXTS}/{context_id}/window", params={member: value})

        assert pointers(refused, "invalid_parameter") == [f"/{member}"]

    def test_in_snake_case_are_unknown(self, api: httpx.Client, context_id: str) -> None:
        refused = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 5, "keep_preamble": "true"})

        assert pointers(refused, "invalid_parameter") == ["/keep_preamble"]


class TestShown:
    """A window shows all seven members, as they were in effect."""

    def test_without_a_policy(self, api: httpx.Client, context_id: str) -> None:
        assert shown(api, context_id, budget=5) == {"budget": 5, **PLAIN}

    def test_with_all_members_where_they_fit_together(self, api: httpx.Client) -> None:
        assert shown(api, create(api, FULL)["id"]) == FULL

    @pytest.mark.parametrize(("step", "clamped"), [(0, 0), (1, 1), (50, 50), (51, 50), (MOST, 50)])
    def test_with_half_of_the_budget_for_a_longer_step(
        self, api: httpx.Client, context_id: str, step: int, clamped: int
    ) -> None:
        assert shown(api, context_id, budget=101, step=step)["step"] == clamped

    @pytest.mark.parametrize(
        ("step", "keep", "clamped"), [(0, 99, 99), (0, 101, 100), (30, 70, 70), (30, 71, 70), (MOST, MOST, 50)]
    )
    def test_with_what_the_step_leaves_for_more_tokens_to_keep_of_results(
        self, api: httpx.Client, context_id: str, step: int, keep: int, clamped: int
    ) -> None:
        policy = shown(api, context_id, budget=100, step=step, clearToolResults=keep)

        assert policy["clearToolResults"] == {"keepTokens": clamped}

    @pytest.mark.parametrize(("keep", "clamped"), [(99, 99), (100, 100), (101, 100), (MOST, 100)])
    def test_with_the_budget_for_more_tokens_to_keep_behind_a_compaction(
        self, api: httpx.Client, context_id: str, keep: int, clamped: int
    ) -> None:
        policy = shown(api, context_id, budget=100, step=MOST, compactionDue=f"0.8,{keep}")

        assert policy["compactionDue"] == {"threshold": 0.8, "keepTokens": clamped}

    def test_within_what_the_head_leaves(self, api: httpx.Client, context_id: str) -> None:
        history(api, context_id)
        asked = {"budget": 40, "step": MOST, "clearToolResults": MOST, "compactionDue": f"1,{MOST}"}

        for head, left in (({}, 40), ({"keepPreamble": "true"}, 30)):
            policy = shown(api, context_id, **asked, **head)
            assert (policy["step"], policy["clearToolResults"]) == (left // 2, {"keepTokens": left - left // 2})
            assert policy["compactionDue"] == {"threshold": 1, "keepTokens": 40}

    def test_within_what_preamble_request_and_summary_leave(self, api: httpx.Client, context_id: str) -> None:
        history(api, context_id)
        compaction = {"throughVersion": 4, "summary": "s", "tokenCount": 7}
        assert api.post(f"{CONTEXTS}/{context_id}/compactions", json=compaction).status_code == 201
        asked = {"budget": 60, "step": MOST, "keepPreamble": "true", "keepRequest": "true"}

        body = window(api, context_id, **asked)

        assert (body["preambleCount"], body["requestVersion"], body["compaction"]["number"]) == (1, 2, 1)
        assert body["policy"]["step"] == (60 - 10 - 7 - 10) // 2

    def test_with_nothing_where_the_head_takes_all(self, api: httpx.Client, context_id: str) -> None:
        history(api, context_id)

        policy = shown(api, context_id, budget=5, keepPreamble="true", step=5, clearToolResults=5)

        assert (policy["budget"], policy["step"], policy["clearToolResults"]) == (5, 0, {"keepTokens": 0})

    def test_is_not_what_is_stored(self, api: httpx.Client, context_id: str) -> None:
        patch(api, context_id, {"budget": 10, "step": MOST})

        assert shown(api, context_id)["step"] == 5
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["policy"] == {"budget": 10, "step": MOST}
