"""Writes src/kata_context/types.py from the service's openapi.json: `python generate.py [OPENAPI]`.

Types only: what is sent and answered as TypedDicts, and for each operation the keyword arguments that it takes, with
the API's camelCase names in snake_case. A test makes it again and compares.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TYPES = HERE / "src" / "kata_context" / "types.py"
OPENAPI = HERE.parent.parent / "public" / "openapi.json"

HEADER = '"""What the API takes and answers. Made from its OpenAPI document by generate.py: do not edit."""'
COMMAND = (
    "--input-file-type=openapi",
    "--output-model-type=typing.TypedDict",
    "--target-python-version=3.11",
    "--enum-field-as-literal=all",
    "--no-use-closed-typed-dict",
    "--use-standard-collections",
    "--use-union-operator",
    "--use-schema-description",
    "--use-field-description",
    "--use-inline-field-description",
    "--use-single-line-docstring",
    "--disable-timestamp",
    "--disable-future-imports",
    "--formatters=builtin",
    f"--custom-file-header={HEADER}",
)

# Bodies, which are written as keyword arguments, and answers that the clients unpack.
UNPACKED = ("ContextPatch", "NewCompaction", "NewContext", "NewFork", "NativeMessage")

# Answers whose ETag the clients put beside the members, and the names of what results.
TAGGED = {"Context": "TaggedContext", "WindowAnswer": "Window"}


def snake(name: str) -> str:
    """external_id for externalId, if_match for If-Match."""
    return re.sub("([A-Z])", r"_\1", name.replace("-", "_")).lower().replace("__", "_").strip("_")


def arguments(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of an operation's keyword arguments: its query, its headers and the members of its body."""
    properties = {}
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"] if "schema" in parameter else parameter["content"]["application/json"]["schema"]
        properties[parameter["name"]] = {**schema, "description": parameter["description"]}
    for media in operation.get("requestBody", {}).get("content", {}).values():
        for reference in media["schema"].get("oneOf", [media["schema"]]):
            for name, member in schemas[reference["$ref"].rpartition("/")[2]]["properties"].items():
                properties[name] = {key: value for key, value in member.items() if (key, name) != ("enum", "format")}
    positional = ("messages", "throughVersion", "summary")
    return {
        "type": "object",
        "description": operation["summary"] + ".",
        "properties": {snake(name): member for name, member in properties.items() if name not in positional},
    }


def plain(node: Any) -> Any:
    """The node without what a TypedDict cannot say: formats would become UUID and datetime, defaults are the API's."""
    if isinstance(node, list):
        return [plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: {member: plain(schema) for member, schema in item.items()} if name == "properties" else plain(item)
        for name, item in node.items()
        if name not in {"format", "default", "title", "examples"}
    }


def document(openapi: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document to make types of."""
    schemas = openapi["components"]["schemas"]
    schemas["NewMessage"].pop("anyOf")  # would be four types of the same members
    # Which members a part has is its provider's affair, and a TypedDict refuses those that it does not know.
    schemas["Part"] = {"type": "object", "additionalProperties": {}, "description": schemas["Part"]["description"]}
    schemas["Message"]["properties"] = schemas["NativeMessage"]["properties"]
    wanted = {
        name: schema
        for name, schema in schemas.items()
        if name not in UNPACKED and not name.endswith(("Answer", "Page", "Append"))
    }
    for methods in openapi["paths"].values():
        for operation in methods.values():
            if isinstance(operation, dict) and ("requestBody" in operation or "parameters" in operation):
                name = operation["operationId"]
                wanted[name[0].upper() + name[1:] + "Arguments"] = arguments(operation, schemas)
    for name, tagged in TAGGED.items():
        answer = schemas[name]
        tag = {"type": "string", "description": "The ETag that it came with."}
        required = [*answer["required"], "etag"]
        wanted[tagged] = {**answer, "properties": {**answer["properties"], "etag": tag}, "required": required}
    # Its shape is the format's, which a reader knows and a type checker cannot; only figures leave it out.
    window = wanted["Window"]
    window["properties"]["data"] = {"description": window["properties"]["data"]["description"]}
    window["required"].append("data")
    return {"openapi": "3.1.0", "info": openapi["info"], "paths": {}, "components": {"schemas": plain(wanted)}}


def generated(openapi: Path = OPENAPI) -> str:
    """The module's text."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "openapi.json"
        spec.write_text(json.dumps(document(json.loads(openapi.read_text()))))
        module = Path(folder) / "types.py"
        command = [sys.executable, "-m", "datamodel_code_generator", *COMMAND, f"--input={spec}", f"--output={module}"]
        subprocess.run(command, check=True)
        return module.read_text()


if __name__ == "__main__":
    TYPES.write_text(generated(*map(Path, sys.argv[1:])))
