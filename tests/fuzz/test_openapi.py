"""Any request that the OpenAPI document allows or forbids gets an answer that it describes, and never a 5xx.

FUZZ_EXAMPLES sets how many requests each operation gets; CI sends thousands.
"""

import os
import random
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from scripts.openapi.document import document

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))

schema = schemathesis.openapi.from_dict(document())
# What the schema cannot say, and the tests of tests/api do: a version to come, a cursor that no page gave, times
# in disorder, an ETag of the past, a used key.
schema.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "3xx", "404", "409", "412", "422"]
schema.config.generation.allow_x00 = False
schema.config.generation.codec = "utf-8"


@pytest.fixture(scope="module")
def contexts(api: httpx.Client) -> list[str]:
    """Contexts to try things on: without one, most requests would end at a 404."""
    made = [api.post("/api/v1/contexts").json()["data"]["id"] for _ in range(10)]
    for context_id in made[:5]:
        api.post(f"/api/v1/contexts/{context_id}/messages", json={"messages": [{"role": "user", "content": "x"}] * 20})
    return made


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: schemathesis.Case[Any], url: str, contexts: list[str]) -> None:
    if case.path_parameters and case.method != "DELETE" and random.random() < 0.9:
        case.path_parameters["contextId"] = random.choice(contexts)
    batch = case.body.get("messages") if isinstance(case.body, dict) else None
    timed = isinstance(batch, list) and any(isinstance(item, dict) and item.get("createdAt") for item in batch)
    unsayable = timed or "at" in case.query or isinstance(case.query.get("cursor"), str)
    case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance] if unsayable else [])
