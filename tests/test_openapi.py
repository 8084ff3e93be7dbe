"""The OpenAPI document is fresh, complete, and says of each path what the endpoint does."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from lib import errors
from scripts.openapi import examples
from scripts.openapi.__main__ import PATH
from scripts.openapi.document import document

DOCUMENT = document()
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: {"path": path, "method": method, **operation}
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if method != "parameters"
}


def test_the_committed_document_is_the_generated_one() -> None:
    assert json.loads(PATH.read_text()) == DOCUMENT, "run python -m scripts.openapi"


def test_the_service_hands_it_out(api: httpx.Client) -> None:
    answer = api.get("/openapi.json")

    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == DOCUMENT


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference of the document refers to."""
    found: dict[str, Any] = DOCUMENT if "$ref" in value else value
    for step in value.get("$ref", "#").split("/")[1:]:
        found = found[step]
    return found


class TestOperations:
    def test_of_every_path_are_the_methods_that_its_endpoint_allows(self, api: httpx.Client, context_id: str) -> None:
        for path, operations in DOCUMENT["paths"].items():
            url = path.replace("{contextId}", context_id).replace("{number}", "1")
            allowed = set(api.options(url).headers["allow"].lower().split(", "))
            assert set(operations) - {"parameters"} == allowed - {"head", "options"}, path

    def test_have_the_names_that_clients_are_generated_with(self) -> None:
        assert list(OPERATIONS) == [
            "listContexts",
            "createContext",
            "getContext",
            "updateContext",
            "deleteContext",
            "listMessages",
            "appendMessages",
            "getWindow",
            "listCompactions",
            "makeCompaction",
            "getCompaction",
            "undoCompaction",
            "listForks",
            "forkContext",
            "getHealth",
        ]
        assert sum(len(operations.keys() - {"parameters"}) for operations in DOCUMENT["paths"].values()) == 15

    def test_have_one_tag_each_which_is_described(self) -> None:
        tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}

        assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == tags.keys()
        assert all(len(operation["tags"]) == 1 for operation in OPERATIONS.values())
        assert all(tags.values())

    def test_name_every_code_that_they_can_answer_with(self) -> None:
        named = {
            code
            for operation in OPERATIONS.values()
            for answer in operation["responses"].values()
            for code in re.findall(r"`(\w+)`: .", resolved(answer)["description"])
        }

        def leaves(kind: type[errors.Problem]) -> list[type[errors.Problem]]:
            children = kind.__subclasses__()
            return [leaf for child in children for leaf in leaves(child)] if children else [kind]

        # They belong to no operation, and the last to none on purpose.
        elsewhere = {errors.RouteNotFound, errors.MethodNotAllowed, errors.InternalError}
        parents: set[type[errors.Problem]] = {errors.InvalidRequest, errors.VersionConflict}
        assert named == {kind.code for kind in {*leaves(errors.Problem)} - elsewhere | parents}
        assert all(kind.code in DOCUMENT["info"]["description"] for kind in elsewhere)


class TestDescriptions:
    def test_stand_at_every_operation_and_parameter_and_body_and_header(self) -> None:
        parameters = [parameter for path in DOCUMENT["paths"].values() for parameter in path.get("parameters", ())]
        for operation in OPERATIONS.values():
            parameters += operation.get("parameters", ())
            assert operation["summary"], operation["operationId"]
            assert operation["description"], operation["operationId"]
        headers = DOCUMENT["components"]["headers"].items()

        assert [parameter["name"] for parameter in parameters if not parameter.get("description")] == []
        assert [name for name, header in headers if not header.get("description")] == []

    def test_stand_at_every_answer(self) -> None:
        answers = [
            (name, status, resolved(answer))
            for name, operation in OPERATIONS.items()
            for status, answer in operation["responses"].items()
        ]

        assert [(name, status) for name, status, answer in answers if not answer.get("description")] == []
        assert [(name, status) for name, status, answer in answers if "X-Request-Id" not in answer["headers"]] == []

    def test_stand_at_every_member_of_every_schema(self) -> None:
        def bare(schema: dict[str, Any], place: str) -> Iterator[str]:
            for name, member in schema.get("properties", {}).items():
                if not member.get("description"):
                    yield f"{place}.{name}"
                yield from bare(member, f"{place}.{name}")
            yield from bare(schema.get("items", {}), f"{place}[]") if "items" in schema else ()

        schemas = DOCUMENT["components"]["schemas"]
        assert [place for name, schema in schemas.items() for place in bare(schema, name)] == []

    def test_send_nobody_elsewhere(self) -> None:
        assert re.findall(r"README|docs/|see below", json.dumps(DOCUMENT)) == []


def contents(kind: str) -> list[Any]:
    """Every body of a request or of a success: what it is of, its schema and one of its examples."""
    bodies = {
        "requests": [
            (name, operation["requestBody"]) for name, operation in OPERATIONS.items() if "requestBody" in operation
        ],
        "answers": [
            (f"{name} {status}", answer)
            for name, operation in OPERATIONS.items()
            for status, answer in operation["responses"].items()
            if "application/json" in resolved(answer).get("content", {})
        ],
        "problems": [
            (f"{name} {status}", resolved(answer))
            for name, operation in OPERATIONS.items()
            for status, answer in operation["responses"].items()
            if "application/problem+json" in resolved(answer).get("content", {})
        ],
    }
    return [
        pytest.param(content["schema"], content.get("examples", {}), id=name)
        for name, body in bodies[kind]
        for content in body["content"].values()
    ]


class TestExamples:
    @pytest.mark.parametrize(("schema", "shown"), [*contents("requests"), *contents("answers"), *contents("problems")])
    def test_are_there_and_valid(self, schema: dict[str, Any], shown: dict[str, Any]) -> None:
        validator = jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]}, validate_formats=True)

        assert shown
        for example in shown.values():
            validator.validate(resolved(example)["value"])

    def test_are_what_the_server_answers(self, api: httpx.Client) -> None:
        external_id = examples.NEW["externalId"]
        for context in api.get("/api/v1/contexts", params={"externalId": external_id}).json()["data"]:
            api.delete(f"/api/v1/contexts/{context['id']}")
        context_id = ""
        answers: list[Any] = []
        shown: list[Any] = []

        def step(name: str, status: int, example: str, sent: str | None = None, **params: Any) -> Any:
            operation = OPERATIONS[name]
            path = operation["path"].replace("{contextId}", context_id).replace("{number}", "1")
            content = operation["requestBody"]["content"]["application/json"] if sent else {}
            body = content["examples"][sent]["value"] if sent else None
            answer = api.request(operation["method"], path, json=body, params=params)
            assert answer.status_code == status, answer.text
            answers.append(answer.json())
            shown.append(examples.ANSWERS[name, status][example][1])
            return answers[-1]

        context_id = step("createContext", 201, "new", "new")["data"]["id"]
        step("createContext", 200, "found", "new")
        step("listContexts", 200, "found", externalId=external_id)
        step("appendMessages", 201, "import", "import")
        step("appendMessages", 201, "turn", "turn")
        step("getContext", 200, "appended")
        step("listMessages", 200, "page", limit=2)
        step("getWindow", 200, "plain", policy="none", budget=20)
        step("getWindow", 200, "policy")
        step("makeCompaction", 201, "made", "summary")
        step("getWindow", 200, "compacted")
        step("getWindow", 200, "figures", include="figures")
        step("listCompactions", 200, "page")
        step("getCompaction", 200, "read")
        step("undoCompaction", 200, "undone")
        step("updateContext", 200, "change", "change")
        step("getWindow", 200, "cleared")
        step("forkContext", 201, "answer", "answer")
        step("listForks", 200, "page")
        step("appendMessages", 201, "provider", "provider")
        step("listMessages", 200, "native", include="native", cursor=6)
        step("getWindow", 200, "provider", format="anthropic", policy="none", budget=32)
        step("deleteContext", 200, "deleted")

        assert stable(answers) == stable(shown)
        assert len(shown) == sum(len(named) for (name, _), named in examples.ANSWERS.items() if name != "getHealth")

    def test_of_health_have_what_the_server_answers_with(self, api: httpx.Client) -> None:
        [(_, shown)] = examples.ANSWERS["getHealth", 200].values()
        answered = api.get("/api/health").json()

        assert {name: [*check] for name, check in answered["checks"].items()} == {
            name: [*check] for name, check in shown["checks"].items()
        }
        assert (answered["status"], answered["version"]) == (shown["status"], shown["version"])


def stable(value: Any) -> Any:
    """A value with a number in place of each id and time, the same for the same one."""
    names: dict[str, str] = {}
    return json.loads(
        re.sub(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z",
            lambda found: names.setdefault(found[0], f"name {len(names)}"),
            json.dumps(value, sort_keys=True),
        )
    )
