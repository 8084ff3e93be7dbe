"""llms.txt: what a language model needs to write a client, in the shape of llmstxt.org. A test runs its commands."""

from scripts.openapi.reference import filled, operations
from scripts.openapi.schemas import Schema


def text(document: Schema) -> str:
    """The file for a document."""
    lines = [
        f"- [{name}](/docs#{name}): `{each['method'].upper()} {each['path']}`: {each['summary']}"
        for name, each in operations(document).items()
    ]
    return filled(
        "llms.txt",
        title=document["info"]["title"],
        summary=document["info"]["summary"],
        formats=", ".join(f"`{name}`" for name in document["components"]["schemas"]["Format"]["enum"]),
        operations="\n".join(lines),
    )
