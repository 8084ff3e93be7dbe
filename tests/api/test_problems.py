"""What bad requests get: a problem document (RFC 9457) with a stable code, from a process that goes on serving."""

import contextlib
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

CONTEXTS = "/api/v1/contexts"
JSON = {"content-type": "application/json"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["type"] == f"urn:kata-context:problem:{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["requestId"] == answer.headers["x-request-id"]
    return problem


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/api",
            "/api/v1",
            "/api/v1/contextss",
            f"{CONTEXTS}/{uuid.uuid4()}/nope",
            f"{CONTEXTS}/{uuid.uuid4()}/messages/5",
            f"{CONTEXTS}/{uuid.uuid4()}/compactions/1/nope",
            "/favicon.ico",
            "/lib/config.py",
            "/..%2f..%2fetc/passwd",
        ],
    )
    def test_unknown_ones_are_not_found(self, api: httpx.Client, path: str) -> None:
        for method in ("GET", "POST", "DELETE"):
            assert_problem(api.request(method, path), 404, "route_not_found")

    @pytest.mark.parametrize(
        "text",
        [
            "abc",
            "a%2Fb",
            "%00",
            "00000000-0000-0000-0000-00000000000%00",
            "{00000000-0000-4000-8000-000000000000}",
            "00000000000040008000000000000000",
            "urn:uuid:00000000-0000-4000-8000-000000000000",
            "0" * 4000,
            "%ff%fe",
            "' OR 1=1 --",
            "[id]",
        ],
    )
    def test_an_id_that_is_no_uuid_is_refused_on_every_route(self, api: httpx.Client, text: str) -> None:
        for path in ("", "/messages", "/window?budget=1", "/compactions", "/compactions/1"):
            assert_problem(api.get(f"{CONTEXTS}/{text}{path}"), 400, "invalid_id")

    def test_any_uuid_of_rfc_9562_is_an_id(self, api: httpx.Client) -> None:
        for text in (uuid.uuid1(), uuid.uuid4(), uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)):
            assert_problem(api.get(f"{CONTEXTS}/{text}"), 404, "context_not_found")


class TestMethods:
    @pytest.mark.parametrize(
        ("path", "allow"),
        [
            ("/api/health", {"GET", "HEAD", "OPTIONS"}),
            (CONTEXTS, {"GET", "HEAD", "POST", "OPTIONS"}),
            (f"{CONTEXTS}/{uuid.uuid4()}", {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}),
            (f"{CONTEXTS}/{uuid.uuid4()}/messages", {"GET", "HEAD", "POST", "OPTIONS"}),
            (f"{CONTEXTS}/{uuid.uuid4()}/window", {"GET", "HEAD", "OPTIONS"}),
            (f"{CONTEXTS}/{uuid.uuid4()}/compactions", {"GET", "HEAD", "POST", "OPTIONS"}),
            (f"{CONTEXTS}/{uuid.uuid4()}/compactions/1", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ],
    )
    def test_those_not_served_get_405_and_options_the_list(self, api: httpx.Client, path: str, allow: set[str]) -> None:
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"} - allow:
            refused = api.request(method, path)
            assert_problem(refused, 405, "method_not_allowed")
            assert set(refused.headers["allow"].split(", ")) == allow

        options = api.options(path)
        assert (options.status_code, options.content) == (204, b"")
        assert set(options.headers["allow"].split(", ")) == allow

    def test_head_is_get_without_the_body(self, api: httpx.Client, context_id: str) -> None:
        for path in (CONTEXTS, f"{CONTEXTS}/{context_id}", f"{CONTEXTS}/{uuid.uuid4()}"):
            head, get = api.head(path), api.get(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            assert head.headers["content-length"] == get.headers["content-length"]


class TestBodies:
    @pytest.fixture(params=[CONTEXTS, "messages"])
    def path(self, request: pytest.FixtureRequest, context_id: str) -> str:
        return request.param if request.param == CONTEXTS else f"{CONTEXTS}/{context_id}/messages"

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b'{"name": "x"',
            b'{"messages": [{"role": "user", "content": "cut of',
            b"{'name': 'x'}",
            b'{"name": "x",}',
            b'{"name": "tab\there"}',
            b'{"name": "\\x41"}',
            b"\xff\xfe{}",
            b'{"name": "\xed\xa0\x80"}',
            b"\xef\xbb\xbf{}",
            b'{"name": 01}',
            b"{} {}",
            b"\0",
        ],
    )
    def test_that_are_no_json_are_malformed(self, api: httpx.Client, path: str, body: bytes) -> None:
        assert_problem(api.post(path, content=body, headers=JSON), 400, "malformed_json")

    @pytest.mark.parametrize("body", [b"null", b"5", b'"text"', b"[]", b"true"])
    def test_that_are_no_object_are_invalid(self, api: httpx.Client, path: str, body: bytes) -> None:
        problem = assert_problem(api.post(path, content=body, headers=JSON), 400, "invalid_body")

        assert problem["errors"][0]["pointer"] == ""

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "application/json; charset=latin-1"},
            {"content-type": "application/jsonp"},
            {"content-type": "application/json", "content-encoding": "gzip"},
        ],
    )
    def test_of_another_type_are_refused(self, api: httpx.Client, path: str, headers: dict[str, str]) -> None:
        assert_problem(api.post(path, content=b"{}", headers=headers), 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "kind",
        [
            "application/json",
            "Application/JSON; charset=utf-8",
            'application/json;charset="UTF-8"',
            "application/json; ;",
        ],
    )
    def test_of_json_in_any_spelling_are_taken(self, api: httpx.Client, kind: str) -> None:
        assert api.post(CONTEXTS, content=b"{}", headers={"content-type": kind}).status_code == 201

    def test_of_4_4_mb_are_stored_and_of_4_6_mb_refused(self, api: httpx.Client, context_id: str) -> None:
        path = f"{CONTEXTS}/{context_id}/messages"

        def body(size: int) -> bytes:
            return b'{"messages":[{"role":"user","content":"%b"}]}' % (b"x" * (size - 48))

        stored = api.post(path, content=body(4_400_000), headers=JSON)
        assert stored.status_code == 201
        assert len(stored.json()["data"][0]["content"]) == 4_400_000 - 48

        assert_problem(api.post(path, content=body(4_600_000), headers=JSON), 413, "payload_too_large")
        chunks = (b" " * 100_000 for _ in range(46))
        assert_problem(api.post(path, content=chunks, headers=JSON), 413, "payload_too_large")
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"] == 1

    def test_that_would_get_an_answer_too_large_to_be_carried_are_refused(
        self, api: httpx.Client, context_id: str
    ) -> None:
        """Otherwise they would be stored, and neither they nor any retry would ever be answered."""
        batch = {"messages": [{"role": "user", "content": "x" * 4_350, "tokenCount": 1}] * 1000}

        refused = api.post(f"{CONTEXTS}/{context_id}/messages", json=batch)

        assert len(refused.request.content) < 4_500_000
        assert "send less at once" in assert_problem(refused, 413, "payload_too_large")["detail"]
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"] == 0

    def test_of_20_mb_are_refused_before_their_end(self, api: httpx.Client) -> None:
        # The server may have answered and closed while the client was still sending.
        with contextlib.suppress(httpx.TransportError):
            assert_problem(api.post(CONTEXTS, content=b" " * 20_000_000, headers=JSON), 413, "payload_too_large")
        assert api.get("/api/health").status_code == 200

    def test_sent_in_chunks_are_put_together(self, api: httpx.Client) -> None:
        answer = api.post(CONTEXTS, content=iter([b'{"na', b'me": "\xc3', b'\xa9"}']), headers=JSON)

        assert answer.json()["data"]["name"] == "é"

    @pytest.mark.parametrize(
        "content", [f"[{','.join(['0'] * 1_000_000)}]", f"[{','.join(['{}'] * 190_000)}]"], ids=["0", "{}"]
    )
    def test_that_are_wrong_a_million_times_get_a_few_errors(
        self, api: httpx.Client, context_id: str, content: str
    ) -> None:
        body = f'{{"messages":[{{"role":"user","content":{content}}}]}}'

        refused = api.post(f"{CONTEXTS}/{context_id}/messages", content=body, headers=JSON)

        assert 1 <= len(assert_problem(refused, 400, "invalid_body")["errors"]) <= 20

    def test_with_a_key_of_megabytes_do_not_get_it_back(self, api: httpx.Client, context_id: str) -> None:
        flaws = ",".join(['"\\u0000"'] * 30)
        body = f'{{"messages":[{{"role":"user","content":"x","metadata":{{"{"k" * 4_000_000}":[{flaws}]}}}}]}}'

        refused = api.post(f"{CONTEXTS}/{context_id}/messages", content=body, headers=JSON)

        assert_problem(refused, 400, "invalid_body")
        assert len(refused.content) < 50_000

    def test_errors_echo_no_content(self, api: httpx.Client, context_id: str) -> None:
        secret = "hunter2"
        for body in (
            f'{{"messages": [{{"role": "{secret}", "content": ["{secret}"], "tokenCount": "{secret}"}}]}}',
            f'{{"messages": "{secret}',
        ):
            refused = api.post(f"{CONTEXTS}/{context_id}/messages", content=body, headers=JSON)
            assert refused.status_code == 400
            assert secret not in refused.text


class TestParameters:
    def test_given_twice_are_refused(self, api: httpx.Client, context_id: str) -> None:
        refused = api.get(f"{CONTEXTS}/{context_id}/window?budget=1&budget=2&at=0&at=0")

        problem = assert_problem(refused, 400, "invalid_parameter")
        assert problem["errors"] == [
            {"pointer": "/budget", "detail": "given more than once"},
            {"pointer": "/at", "detail": "given more than once"},
        ]

    def test_that_are_unknown_are_refused_on_every_route(self, api: httpx.Client, context_id: str) -> None:
        """A client that sends `?dryRun=1` must not have its context deleted."""
        path, batch = f"{CONTEXTS}/{context_id}", {"messages": [{"role": "user", "content": "x"}]}
        compaction = {"throughVersion": 1, "summary": "x"}
        for refused in (
            api.get("/api/health?x=1"),
            api.get(f"{CONTEXTS}?x=1"),
            api.post(f"{CONTEXTS}?x=1", json={}),
            api.get(f"{path}?x=1"),
            api.patch(f"{path}?x=1", json={}),
            api.delete(f"{path}?x=1"),
            api.get(f"{path}/messages?x=1"),
            api.post(f"{path}/messages?x=1", json=batch),
            api.get(f"{path}/window?budget=1&x=1"),
            api.get(f"{path}/compactions?x=1"),
            api.post(f"{path}/compactions?x=1", json=compaction),
            api.get(f"{path}/compactions/1?x=1"),
            api.delete(f"{path}/compactions/1?x=1"),
        ):
            problem = assert_problem(refused, 400, "invalid_parameter")
            assert problem["errors"] == [{"pointer": "/x", "detail": "is unknown here"}]
        assert api.get(path).json()["data"]["latestVersion"] == 0

    @pytest.mark.parametrize("query", ["metadata=%ff", "&".join(f"p{i}=1" for i in range(101))])
    def test_that_cannot_be_read_are_refused(self, api: httpx.Client, query: str) -> None:
        assert_problem(api.get(f"{CONTEXTS}?{query}"), 400, "invalid_parameter")


class TestRequestId:
    def test_is_taken_from_the_client(self, api: httpx.Client) -> None:
        assert api.get("/api/health", headers={"x-request-id": "abc-1.2:3_4"}).headers["x-request-id"] == "abc-1.2:3_4"

    @pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "é".encode()])
    def test_is_made_where_the_clients_is_unfit(self, api: httpx.Client, sent: str | bytes) -> None:
        answer = api.get("/api/health", headers=[(b"x-request-id", sent if isinstance(sent, bytes) else sent.encode())])

        assert len(answer.headers["x-request-id"]) == 32


class TestConnections:
    def test_that_end_in_the_middle_of_a_body_store_nothing(self, api: httpx.Client, url: str, context_id: str) -> None:
        host = urlsplit(url)
        with socket.create_connection((host.hostname, host.port)) as sock:
            sock.sendall(
                f"POST {CONTEXTS}/{context_id}/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                'Content-Length: 1000\r\n\r\n{"messages":[{"role":"user","content":"x"}'.encode()
            )

        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"] == 0


class TestLimits:
    """The edge of each: the largest that is taken, and the smallest that is not."""

    @pytest.mark.parametrize(
        ("pointer", "most"),
        [
            ("/messages/0/model", 255),
            ("/messages/0/toolName", 255),
            ("/messages/0/toolCallId", 4096),
            ("/messages/0/toolCalls/0/id", 4096),
            ("/messages/0/toolCalls/0/function/name", 255),
        ],
    )
    def test_of_a_text(self, api: httpx.Client, context_id: str, pointer: str, most: int) -> None:
        def send(text: str) -> httpx.Response:
            call = {"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}}
            message: dict[str, Any] = {"role": "assistant", "content": "x", "toolCalls": [call]}
            if pointer.endswith("toolCallId"):
                message = {"role": "tool", "content": "x"}
            *parents, member = pointer.split("/")[3:]
            target: Any = message
            for step in parents:
                target = target[int(step) if step.isdigit() else step]
            target[member] = text
            return api.post(f"{CONTEXTS}/{context_id}/messages", json={"messages": [message]})

        assert send("é" * most).status_code == 201
        refused = assert_problem(send("é" * (most + 1)), 400, "invalid_body")
        assert [place["pointer"] for place in refused["errors"]] == [pointer]

    def test_of_unknown_members(self, api: httpx.Client) -> None:
        def send(unknown: int) -> list[dict[str, str]]:
            body = {f"x{number}": 0 for number in range(unknown)}
            errors: list[dict[str, str]] = assert_problem(api.post(CONTEXTS, json=body), 400, "invalid_body")["errors"]
            return errors

        assert len(send(20)) == 20
        assert send(30) == [{"pointer": "", "detail": "has more than 20 unknown members"}]

    def test_of_a_cursor(self, api: httpx.Client) -> None:
        refused = assert_problem(api.get(CONTEXTS, params={"cursor": "x" * 256}), 400, "invalid_parameter")

        assert refused["errors"][0]["pointer"] == "/cursor"

    @pytest.mark.parametrize("text", ["\\ud800", "\\udc00", "\\uDC00", "\\u0000"])
    @pytest.mark.parametrize(
        "body",
        [
            '{"messages":[{"role":"user","content":"%s"}]}',
            '{"messages":[{"role":"user","content":[{"type":"text","text":"%s"}]}]}',
            '{"messages":[{"role":"user","content":"x","metadata":{"%s":1}}]}',
            '{"messages":[{"role":"user","content":"x","model":"%s"}]}',
            """{"messages":[{"role":"assistant",
                "toolCalls":[{"id":"1","type":"function","function":{"name":"n","arguments":"%s"}}]}]}""",
        ],
    )
    def test_of_what_is_text_at_all(self, api: httpx.Client, context_id: str, text: str, body: str) -> None:
        refused = api.post(f"{CONTEXTS}/{context_id}/messages", content=body.replace("%s", text), headers=JSON)

        assert_problem(refused, 400, "invalid_body")
        assert_problem(api.get(CONTEXTS, params={"metadata": f'{{"a":"{text}"}}'}), 400, "invalid_parameter")

    @pytest.mark.parametrize("number", ["0e-16384", "0e99999999999", "1e400", "1e-400"])
    def test_of_numbers_in_metadata(self, api: httpx.Client, number: str) -> None:
        body = f'{{"metadata":{{"n":{number}}}}}'

        assert_problem(api.post(CONTEXTS, content=body, headers=JSON), 400, "invalid_body")
        assert_problem(api.get(CONTEXTS, params={"metadata": f'{{"n":{number}}}'}), 400, "invalid_parameter")
