"""The OpenAPI document is fresh, and says of each path what the endpoint does."""

import json
import re

import httpx

from lib import errors
from scripts import openapi

DOCUMENT = openapi.document()


def test_the_committed_document_is_the_generated_one() -> None:
    assert json.loads(openapi.PATH.read_text()) == DOCUMENT, "run python -m scripts.openapi"


def test_every_path_has_the_methods_that_its_endpoint_allows(api: httpx.Client, context_id: str) -> None:
    for path, operations in DOCUMENT["paths"].items():
        allowed = set(api.options(path.replace("{contextId}", context_id)).headers["allow"].lower().split(", "))
        assert set(operations) - {"parameters"} == allowed - {"head", "options"}, path


def test_every_code_that_an_operation_can_give_is_in_the_document() -> None:
    described = set(
        re.findall(
            r"[a-z_]+",
            " ".join(
                answer["description"]
                for operations in DOCUMENT["paths"].values()
                for method, operation in operations.items()
                if method != "parameters"
                for answer in operation["responses"].values()
            ),
        )
    )
    # The first two belong to no operation, and the third to none on purpose; the rest are kinds of `unavailable`.
    elsewhere = {
        errors.RouteNotFound,
        errors.MethodNotAllowed,
        errors.InternalError,
        *errors.Unavailable.__subclasses__(),
    }

    def leaves(kind: type[errors.Problem]) -> list[type[errors.Problem]]:
        children = kind.__subclasses__()
        return [leaf for child in children for leaf in leaves(child)] if children else [kind]

    assert {kind.code for kind in {*leaves(errors.Problem)} - elsewhere} <= described
    assert "unavailable" in described


def test_the_service_hands_it_out(api: httpx.Client) -> None:
    answer = api.get("/openapi.json")

    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == DOCUMENT
