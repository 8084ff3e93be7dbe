"""The API reference: the document as one page without scripts, for people, models and printers.

Must never let a text of the document through unescaped, nor ask for anything but its style sheet.
"""

import json
import re
from html import escape

from scripts.openapi.members import Members, inline, prose, table
from scripts.openapi.schemas import Schema
from scripts.openapi.snippets import TEXTS, curl, shown, snippets

LANGUAGES = {"sh": "curl", "python": "Python", "ts": "TypeScript"}


def filled(template: str, **parts: str) -> str:
    """A file of texts/ with a part in place of each {name}."""
    return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], (TEXTS / template).read_text())


def operations(document: Schema) -> dict[str, Schema]:
    """The operations by tag and, within it, in the order of the snippets; each with its path, method and parameters."""
    order, tags = list(snippets()), [tag["name"] for tag in document["tags"]]
    found = [
        {**operation, "path": path, "method": method, "parameters": [*above, *operation.get("parameters", ())]}
        for path, methods in document["paths"].items()
        for above in [methods.get("parameters", [])]
        for method, operation in methods.items()
        if method != "parameters"
    ]
    found.sort(key=lambda each: (tags.index(each["tags"][0]), order.index(each["operationId"])))
    return {operation["operationId"]: operation for operation in found}


class Reference:
    """The page of a document."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._components = document["components"]
        self._members = Members(self._components["schemas"])
        self._operations = operations(document)
        self._snippets = snippets()
        # Those of bodies stand where they are sent.
        self._sent = {name for operation in self._operations.values() for name in self._bodies(operation)}

    def page(self) -> str:
        """The HTML."""
        info = self._document["info"]
        return filled(
            "index.html",
            title=escape(info["title"]),
            summary=escape(info["summary"]),
            version=escape(info["version"]),
            about=prose(info["description"]),
            start=_code(self._snippets["start"]),
            contents="\n".join(self._listed(tag) for tag in self._document["tags"]),
            sections="\n".join(self._tag(tag) for tag in self._document["tags"]),
            errors=self._errors(),
            headers=self._headers(),
            schemas="\n".join(self._schemas()),
        )

    def _tagged(self, tag: Schema) -> list[Schema]:
        return [each for each in self._operations.values() if tag["name"] in each["tags"]]

    def _listed(self, tag: Schema) -> str:
        items = "".join(
            f'<li><a href="#{each["operationId"]}">{_method(each)} {each["operationId"]}</a>\n'
            for each in self._tagged(tag)
        )
        name = escape(tag["name"])
        return f'<p><a href="#{name.lower()}">{name}</a></p>\n<ul>\n{items}</ul>'

    def _tag(self, tag: Schema) -> str:
        made = "\n".join(self._operation(each) for each in self._tagged(tag))
        name = escape(tag["name"])
        return f"<section id={name.lower()}>\n<h2>{name}</h2>\n{prose(tag['description'])}\n{made}\n</section>"

    def _operation(self, operation: Schema) -> str:
        name = operation["operationId"]
        parts = [
            f'<section class=operation id={name}>\n<h3><a href="#{name}">{inline(operation["summary"])}</a></h3>',
            f"<p class=call>{_method(operation)} <code>{_path(operation)}</code> <small>{name}</small></p>",
            prose(operation["description"]),
            _code({"sh": curl(operation), **self._snippets[name]}),
        ]
        if operation["parameters"]:
            parts += ["<h4>Parameters</h4>", self._members.parameters(name, operation["parameters"])]
        for body in self._bodies(operation):
            required = "" if operation["requestBody"]["required"] else ", optional"
            parts += [f"<h4 id=schema-{body}>Body: {body}{required}</h4>", self._schema(body)]
        parts += ["<h4>Answers</h4>", self._answers(name, operation["responses"]), "</section>"]
        return "\n".join(parts)

    def _bodies(self, operation: Schema) -> list[str]:
        """The names of the schemas that a body may have."""
        return re.findall(r"#/components/schemas/(\w+)", json.dumps(operation.get("requestBody", {})))

    def _answers(self, name: str, answers: dict[str, Schema]) -> str:
        rows, examples = [], []
        for status, named in sorted(answers.items(), key=lambda answer: answer[0] if answer[0] >= "300" else ""):
            shared = named.get("$ref", "").rpartition("/")[2]
            answer = self._components["responses"][shared] if shared else named
            said = self._coded(prose(answer["description"]))
            for kind, content in answer.get("content", {}).items():
                if kind == "application/json":
                    said += f"<p>{self._members.type(content['schema'])}</p>"
                    examples += [(status, example) for example in content["examples"].values()]
                elif shared:
                    said = f"<p>{self._coded(', '.join(f'<code>{each}</code>' for each in content['examples']))}</p>"
            headers = [
                f'<a href="#header-{ref["$ref"].rpartition("/")[2]}">{escape(header)}</a>'
                for header, ref in answer["headers"].items()
            ]
            rows.append([f"<code>{status}</code>", said, "<br>".join(headers)])
        made = [table(f"Answers of {name}", ["Status", "Meaning", "Headers"], rows)]
        for number, (status, example) in enumerate(examples):
            opened = "" if number else " open"
            made.append(
                f"<details{opened}><summary><code>{status}</code> {inline(example['summary'])}</summary>"
                f"<pre><code>{escape(shown(example['value']), quote=False)}</code></pre></details>"
            )
        return "\n".join(made)

    def _coded(self, html: str) -> str:
        """With a link at each code of a problem."""
        return re.sub(
            r"<code>(\w+)</code>",
            lambda found: (
                f'<a href="#problem-{found[1]}">{found[0]}</a>'
                if found[1] in self._components["examples"]
                else found[0]
            ),
            html,
        )

    def _errors(self) -> str:
        problems = [(name, example["value"]) for name, example in self._components["examples"].items()]
        rows = [
            [f"<code id=problem-{name}>{name}</code>", f"<code>{problem['status']}</code>", inline(problem["detail"])]
            for name, problem in sorted(problems, key=lambda problem: (problem[1]["status"], problem[0]))
        ]
        [shown_one] = [problem for name, problem in problems if name == "version_conflict"]
        return (
            f"<pre><code>{escape(shown(shown_one), quote=False)}</code></pre>\n"
            f"{table('Codes of problems', ['Code', 'Status', 'Detail, for example'], rows)}"
        )

    def _headers(self) -> str:
        rows = [
            [
                f'<span id="header-{name}">{_header(name)}</span>',
                self._members.described(header["schema"]),
                inline(header["description"]),
            ]
            for name, header in self._components["headers"].items()
        ]
        return table("Headers of answers", ["Header", "Type", "Meaning"], rows)

    def _schemas(self) -> list[str]:
        return [
            f"<h3 id=schema-{name}>{name}</h3>\n{self._schema(name)}"
            for name in sorted(self._components["schemas"].keys() - self._sent)
        ]

    def _schema(self, name: str) -> str:
        schema = self._components["schemas"][name]
        said = prose(schema["description"]) if "description" in schema else ""
        if "properties" not in schema:
            return f"{said}<p>{self._members.described(schema)}</p>"
        more = "<p>Other members are kept.</p>" if schema.get("additionalProperties") else ""
        return f"{said}{self._members.table(name)}{more}"


def _code(codes: dict[str, str]) -> str:
    figures = [(title, escape(codes[kind], quote=False)) for kind, title in LANGUAGES.items()]
    return "\n".join(
        f"<figure><figcaption>{title}</figcaption><pre><code>{code}</code></pre></figure>" for title, code in figures
    )


def _method(operation: Schema) -> str:
    return f"<span class={operation['method']}>{operation['method'].upper()}</span>"


def _header(name: str) -> str:
    """A header by its name among the components, which says what it is of where several have one name."""
    of, real = re.fullmatch(r"([A-Z][a-z]+(?=ETag|Location))?(.+)", name).groups()  # type: ignore[union-attr] # any text
    return f"{real} <small>of a {of.lower()}</small>" if of else real


def _path(operation: Schema) -> str:
    """The path, which may be broken in front of a slash."""
    return escape(operation["path"]).replace("/", "<wbr>/")
