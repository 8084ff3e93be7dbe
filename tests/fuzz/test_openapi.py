"""Any request that the OpenAPI document allows or forbids gets an answer that it describes, and never a 5xx.

FUZZ_EXAMPLES sets how many requests each operation gets; CI sends thousands.
"""

import os
import random
from copy import deepcopy
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from scripts.openapi.document import document

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))

# A copy, because cases are made of its examples, and changed.
schema = schemathesis.openapi.from_dict(deepcopy(document()))
# What the schema cannot say, and the tests of tests/api do: a version to come, a cursor that no page gave, times
# in disorder, what a provider's messages are like, an ETag of the past, a used key; a window without any budget, a
# compaction up to within a unit; a fork that is given an external id and takes its parent's.
schema.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "3xx", "404", "409", "412", "422"]
schema.config.generation.allow_x00 = False
schema.config.generation.codec = "utf-8"


TURN: list[dict[str, Any]] = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "toolCalls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
    {"role": "tool", "toolCallId": "c", "content": "of many words " * 10},
    {"role": "assistant", "content": "y"},
]
POLICY: dict[str, Any] = {
    "budget": 100,
    "keepPreamble": True,
    "keepRequest": True,
    "startOn": "user",
    "step": 20,
    "clearToolResults": {"keepTokens": 40},
    "compactionDue": {"threshold": 0.5, "keepTokens": 40},
}


@pytest.fixture(scope="module")
def contexts(api: httpx.Client) -> list[str]:
    """Contexts to try things on: without one, most requests would end at a 404."""
    made = [
        api.post("/api/v1/contexts", json={"policy": POLICY if number % 2 else None}).json()["data"]["id"]
        for number in range(10)
    ]
    for context_id in made[:6]:
        path = f"/api/v1/contexts/{context_id}"
        messages = [{"role": "system", "content": "z"}, *TURN * 5]
        assert api.post(f"{path}/messages", json={"messages": messages}).is_success
        assert api.post(f"{path}/compactions", json={"throughVersion": 5, "summary": "s"}).is_success
    forks = []
    for context_id in made[:4]:
        fork = api.post(f"/api/v1/contexts/{context_id}/forks", json={}).json()["data"]["id"]
        assert api.post(f"/api/v1/contexts/{fork}/messages", json={"messages": TURN}).is_success
        forks.append(fork)
    return made + forks


def is_negative(case: schemathesis.Case[Any], location: ParameterLocation) -> bool:
    """Whether what a case has there was made not to be valid."""
    return case.meta is not None and case.meta.is_negative_at(location)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: schemathesis.Case[Any], url: str, contexts: list[str]) -> None:
    # What was made not to be valid stays so.
    path = {} if is_negative(case, ParameterLocation.PATH) else case.path_parameters
    body = case.body if isinstance(case.body, dict) else {}
    if path and (case.method != "DELETE" or "number" in path) and random.random() < 0.9:
        path["contextId"] = random.choice(contexts)
    if "number" in path and random.random() < 0.7:
        path["number"] = random.randrange(1, 5)
    through = body.get("throughVersion")
    if through is not None and not is_negative(case, ParameterLocation.BODY) and random.random() < 0.7:
        body["throughVersion"] = random.randrange(2, 25)
    version = body.get("version")
    if version is not None and not is_negative(case, ParameterLocation.BODY) and random.random() < 0.7:
        body["version"] = random.randrange(22)
    batch = body.get("messages")
    timed = isinstance(batch, list) and any(isinstance(item, dict) and item.get("createdAt") for item in batch)
    unsayable = (
        timed
        or through is not None
        or version is not None
        or (body.get("externalId") is not None and body.get("moveExternalId"))
        or body.get("format", "kata") != "kata"
        or "at" in case.query
        or isinstance(case.query.get("cursor"), str)
        or (case.path.endswith("/window") and "budget" not in case.query)
    )
    case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance] if unsayable else [])
