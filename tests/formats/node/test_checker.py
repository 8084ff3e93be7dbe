"""The AI SDK as a judge: what all of its versions accept, what each refuses, and that it says where.

What is accepted here is what `format=ai-sdk` may write. Some of it only the SDK accepts, as it leaves it to a provider.
"""

from typing import Any

import pytest

from tests.formats.ai_sdk_node import Checker, NodeError, missing, packages

VERSIONS = ("v5", "v6", "v7")

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
WEB = "https://example.com/picture"

type Json = dict[str, Any]


def user(*content: Json) -> Json:
    return {"role": "user", "content": [*content]}


def assistant(*content: Json) -> Json:
    return {"role": "assistant", "content": [*content]}


def tool(*content: Json) -> Json:
    return {"role": "tool", "content": [*content]}


def text(text: str = "Hello", **members: object) -> Json:
    return {"type": "text", "text": text, **members}


def file(data: object, media_type: str, **members: object) -> Json:
    return {"type": "file", "data": data, "mediaType": media_type, **members}


def reasoning(**options: object) -> Json:
    return {"type": "reasoning", "text": "Hm", "providerOptions": options}


def call(id_: str = "call_1", **members: object) -> Json:
    return {"type": "tool-call", "toolCallId": id_, "toolName": "read", "input": {"path": "a"}, **members}


def result(kind: str = "text", value: object = "done", id_: str = "call_1", **members: object) -> Json:
    output = {"type": kind, "value": value}
    return {"type": "tool-result", "toolCallId": id_, "toolName": "read", "output": output, **members}


def without(part: Json, name: str) -> Json:
    return {member: value for member, value in part.items() if member != name}


QUESTION: Json = {"role": "user", "content": "Hello"}

# Lists of messages by what they are.
RIGHT: dict[str, list[Json]] = {
    "no message": [],
    "text": [QUESTION, {"role": "assistant", "content": "Hello"}, QUESTION],
    "empty text": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "no parts": [user(), assistant(), tool()],
    "text parts": [user(text(), text("")), assistant(text(""), text())],
    "odd characters": [user(text("\0 \u2028 \ud800 \U0001f600"))],
    "the assistant first": [assistant(text()), QUESTION],
    "two of one role": [QUESTION, QUESTION, assistant(text()), assistant(text())],
    "text with a provider's options": [
        user(text(providerOptions={"anthropic": {"cacheControl": {"type": "ephemeral"}}}))
    ],
    "a message with a provider's options": [{**QUESTION, "providerOptions": {"openai": {"a": [1, None, True]}}}],
    "an image in a data URL": [user(text(), file(PNG, "image/png"))],
    "an image of some kind in a data URL": [user(file(PNG, "image/*"))],
    "an image on the web": [user(file(f"{WEB}.png", "image/png"), text())],
    "an image of some kind on the web": [user(file(WEB, "image/*"))],
    "an image in base64": [user(file("iVBORw0KGgo=", "image/png"))],
    "a PDF": [user(file(PDF, "application/pdf", filename="a.pdf"))],
    "a PDF on the web": [user(file("https://example.com/a.pdf", "application/pdf"))],
    "sound": [user(file("data:audio/wav;base64,UklGRg==", "audio/wav"))],
    "a file's id": [user(file("file-1a2B3c", "application/pdf"))],
    "a file of the assistant's": [assistant(file(PNG, "image/png"))],
    "reasoning with a signature": [QUESTION, assistant(reasoning(anthropic={"signature": "c2ln"}), text())],
    "reasoning of OpenAI's": [assistant(reasoning(openai={"itemId": "rs_1", "reasoningEncryptedContent": "ZW5j"}))],
    "a thought's signature": [
        assistant(call(providerOptions={"google": {"thoughtSignature": "c2ln"}})),
        tool(result()),
    ],
    "a result of text": [assistant(text(), call()), tool(result()), assistant(text())],
    "an empty result": [assistant(call()), tool(result(value=""))],
    "an error": [assistant(call()), tool(result("error-text", "no such file"))],
    "a result of JSON": [assistant(call()), tool(result("json", {"a": [1, None, {"b": 1.5e300}]}))],
    "a result of null": [assistant(call()), tool(result("json", None))],
    "an error of JSON": [assistant(call()), tool(result("error-json", {"code": 5}))],
    "a result of parts": [assistant(call()), tool(result("content", [text(), text("")]))],
    "parallel calls": [assistant(call("a"), call("b")), tool(result(id_="b"), result(id_="a"))],
    "a message for each result": [assistant(call("a"), call("b")), tool(result(id_="a")), tool(result(id_="b"))],
    "input that is no object": [assistant(call(input="{"), call("b", input=None)), tool(result(), result(id_="b"))],
    # From here on, what the providers refuse.
    "a result without its call": [QUESTION, tool(result())],
    "two results of one call": [assistant(call()), tool(result(), result())],
    "an id in two turns": [assistant(call()), tool(result()), QUESTION, assistant(call()), tool(result())],
    "an id twice in a message": [assistant(call(), call()), tool(result())],
    "another tool's name": [assistant(call()), tool(result(toolName="write"))],
    "the assistant between call and result": [assistant(call()), assistant(text()), tool(result())],
}

# And what some refuse: the versions that do, and what they say.
WRONG: dict[str, tuple[tuple[str, ...], str, list[Json]]] = {
    "an unknown member of a message": (VERSIONS, "messages[1].name is dropped", [QUESTION, {**QUESTION, "name": "a"}]),
    "an unknown member of a part": (
        VERSIONS,
        "messages[0].content[1].detail is dropped",
        [user(text(), text(detail=1))],
    ),
    "an unknown member of a result": (
        VERSIONS,
        "messages[1].content[0].isError is dropped",
        [assistant(call()), tool(result(isError=True))],
    ),
    "a bare signature": (VERSIONS, "signature is dropped", [assistant({**reasoning(), "signature": "c2ln"})]),
    "a role of OpenAI's": (VERSIONS, "messages[0].role is unknown", [{"role": "developer", "content": "Hello"}]),
    "a UI message": (VERSIONS, "messages[0].content: ", [{"id": "1", "role": "user", "parts": [text()]}]),
    "null": (VERSIONS, "received null", [{"role": "assistant", "content": None}]),
    "no content": (VERSIONS, "messages[0].content: ", [{"role": "user"}]),
    "text as a tool's content": (VERSIONS, "messages[0].content: ", [{"role": "tool", "content": "done"}]),
    "a text part of a tool's": (VERSIONS, "messages[0].content[0].type", [tool(text())]),
    "a call of the user's": (VERSIONS, "messages[0].content[0].type is unknown", [user(call())]),
    "reasoning of the user's": (VERSIONS, "messages[0].content[0].type is unknown", [user(reasoning())]),
    "an image part of the assistant's": (
        VERSIONS,
        "messages[0].content[0].type is unknown",
        [assistant({"type": "image", "image": PNG})],
    ),
    "an image part": (("v7",), "deprecated", [user({"type": "image", "image": PNG, "mediaType": "image/png"})]),
    "an image part of OpenAI's": (
        VERSIONS,
        "messages[0].content[0].type is unknown",
        [user({"type": "image_url", "image_url": {"url": WEB}})],
    ),
    "a refusal part": (VERSIONS, "type is unknown", [assistant({"type": "refusal", "refusal": "no"})]),
    "a file without a media type": (VERSIONS, "content[0].mediaType: ", [user(without(file(PNG, ""), "mediaType"))]),
    "a file with null for a name": (VERSIONS, "content[0].filename: ", [user(file(PNG, "image/png", filename=None))]),
    "version 7's URL": (("v5", "v6"), "content[0].data: ", [user(file({"type": "url", "url": WEB}, "image/png"))]),
    "version 7's data": (
        ("v5", "v6"),
        "content[0].data: ",
        [user(file({"type": "data", "data": "aGk="}, "image/png"))],
    ),
    "a provider's file id": (("v5", "v6"), "content[0].data: ", [user(file({"openai": "file-1"}, "image/png"))]),
    "a data URL without data": (VERSIONS, "Invalid", [user(file("data:image/png", "image/png"))]),
    "a data URL that is not base64": (
        ("v7",),
        "InvalidCharacter",
        [user(file("data:text/plain,Hello!", "text/plain"))],
    ),
    "options without a provider": (
        VERSIONS,
        "providerOptions.effort: ",
        [user(text(providerOptions={"effort": "low"}))],
    ),
    "null for options": (VERSIONS, "providerOptions: ", [user(text(providerOptions=None))]),
    "version 4's arguments": (
        VERSIONS,
        "messages[0].content[0].input: ",
        [assistant({**without(call(), "input"), "args": {}}), tool(result())],
    ),
    "arguments beside the input": (VERSIONS, "content[0].args is dropped", [assistant(call(args={})), tool(result())]),
    "a bare result": (VERSIONS, "content[0].output: ", [assistant(call()), tool({**result(), "output": "done"})]),
    "version 4's result": (
        VERSIONS,
        "messages[1].content[0].output: ",
        [assistant(call()), tool({**without(result(), "output"), "result": "done"})],
    ),
    "a result without a name": (
        VERSIONS,
        "content[0].toolName: ",
        [assistant(call()), tool(without(result(), "toolName"))],
    ),
    "a result of an unknown kind": (VERSIONS, "output.type: ", [assistant(call()), tool(result("xml"))]),
    "a result of text that is none": (VERSIONS, "output.value: ", [assistant(call()), tool(result("text", {"a": 1}))]),
    "a denied call": (
        ("v5",),
        "output.type: ",
        [assistant(call()), tool({**result(), "output": {"type": "execution-denied"}})],
    ),
    "version 5's media": (
        ("v7",),
        "output.value[0].type is unknown",
        [assistant(call()), tool(result("content", [{"type": "media", "data": "aGk=", "mediaType": "image/png"}]))],
    ),
    "version 6's media": (
        ("v5", "v7"),
        "",
        [
            assistant(call()),
            tool(result("content", [{"type": "image-data", "data": "aGk=", "mediaType": "image/png"}])),
        ],
    ),
    "version 7's media": (
        ("v5", "v6"),
        "output.value[0].type is unknown",
        [assistant(call()), tool(result("content", [file({"type": "data", "data": "aGk="}, "image/png")]))],
    ),
    "options of a result's text": (
        ("v5",),
        "output.value[0].providerOptions is dropped",
        [assistant(call()), tool(result("content", [text(providerOptions={"a": {}})]))],
    ),
    "a call without result at the end": (("v6", "v7"), "MissingToolResults", [QUESTION, assistant(call())]),
    "a call without result before the user": (("v6", "v7"), "MissingToolResults", [assistant(call()), QUESTION]),
    "a call of two without result": (
        ("v6", "v7"),
        "MissingToolResults",
        [assistant(call(), call("b")), tool(result())],
    ),
    "the user between call and result": (
        ("v6", "v7"),
        "MissingToolResults",
        [assistant(call()), QUESTION, tool(result())],
    ),
    "a result beside its call": (("v6", "v7"), "MissingToolResults", [assistant(call(), result())]),
    "a system message": (VERSIONS, "System messages", [{"role": "system", "content": "Be brief."}, QUESTION]),
    "a later system message": (VERSIONS, "System messages", [QUESTION, {"role": "system", "content": "Be brief."}]),
    # It would reach the model, as zod's value is not what is sent; but whoever validates loses it.
    "a member that zod hides": (VERSIONS, "value.__proto__ is dropped", [tool(result("json", {"__proto__": 1}))]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_every_version_accepts(checker: Checker, name: str) -> None:
    assert checker.refused({"messages": RIGHT[name]}) == {}
    assert checker.refused({"system": "Be brief.", "messages": RIGHT[name]}) == {}


@pytest.mark.parametrize("name", WRONG)
def test_some_version_refuses(checker: Checker, name: str) -> None:
    versions, why, messages = WRONG[name]

    found = checker.refused({"messages": messages})

    assert tuple(found) == versions
    assert all(why in text for text in found.values()), found


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"system": None, "messages": [QUESTION]}, "system is not text"),
        ({"system": [{"role": "system", "content": "Be brief."}], "messages": [QUESTION]}, "system is not text"),
        ({"messages": [QUESTION], "instructions": "Be brief."}, "instructions is unknown"),
        ({"system": "Be brief."}, "messages is not a list"),
        ({"messages": [None]}, "messages[0]: "),
    ],
)
def test_nothing_but_a_window_is_accepted(checker: Checker, data: Json, why: str) -> None:
    found = checker.refused(data)

    assert tuple(found) == VERSIONS
    assert all(why in text for text in found.values()), found


def test_a_warning_counts_every_time_and_for_its_own_window_alone(checker: Checker) -> None:
    """Version 7 tells a deprecation once in the life of a process, unless it is asked to tell all."""
    for _ in range(3):
        assert tuple(checker.refused({"messages": WRONG["an image part"][2]})) == ("v7",)
        assert checker.refused({"messages": [QUESTION]}) == {}
        assert tuple(checker.refused({"messages": WRONG["a system message"][2]})) == VERSIONS
        assert checker.refused({"messages": [QUESTION]}) == {}


def test_the_fault_is_found_in_a_long_window(checker: Checker) -> None:
    messages = [QUESTION, assistant(text(), call()), tool(result())] * 300

    assert checker.refused({"messages": messages}) == {}
    assert set(checker.refused({"messages": [*messages, {**QUESTION, "id": 1}]}).values()) == {
        "messages[900].id is dropped"
    }


def test_a_process_that_ended_is_no_acceptance() -> None:
    with Checker() as checker:
        checker._process.kill()
        with pytest.raises(NodeError, match="node ended with exit status -9"):
            checker.refused({"messages": []})


def test_programs_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert missing() == ["node", "npm"]
    with pytest.raises(NodeError, match="node and npm must be on PATH"):
        packages()
