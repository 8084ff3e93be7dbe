"""What the clients do beyond single calls: settings, keys that stay hidden, threads, event loops, JSON."""

import asyncio
import copy
import gzip
import json
import logging
import pickle
import socketserver
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from itertools import islice
from typing import Any

import httpx2
import pytest

from kata_context import AsyncClient, Client, errors
from kata_context._requests import pause
from kata_context.types import NewMessage
from tests.conftest import Stack

SECRET = "sk-not-to-be-seen"
DEEP = reduce(lambda inner, _: [inner], range(100_000), list[Any]())
HI: list[NewMessage] = [{"role": "user", "content": "Hi"}]


def answering(status: int, content: bytes, **headers: str) -> Client:
    """A client of something that is not the service."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, content=content, headers=headers))
    return Client("http://x", max_retries=0, http_client=httpx2.Client(transport=transport))


class TestSettings:
    def test_the_environment_says_where_and_with_which_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KATA_CONTEXT_URL", "https://kata.example/base/")
        monkeypatch.setenv("KATA_CONTEXT_API_KEY", f" {SECRET}\n")
        asked: list[httpx2.Request] = []

        def take(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            return httpx2.Response(200, json={"status": "healthy"})

        Client(http_client=httpx2.Client(transport=httpx2.MockTransport(take))).health()

        assert str(asked[0].url) == "https://kata.example/base/api/health"
        assert asked[0].headers["authorization"] == f"Bearer {SECRET}"
        assert asked[0].headers["user-agent"].startswith("kata-context-python/")

    @pytest.mark.parametrize(
        "url",
        [
            "localhost:3000",
            "ftp://x",
            "//x",
            "http://",
            "http://x?a=b",
            "http://x#a",
            "http://a b",
            f"http://u:{SECRET}@x",
            "http://x:abc",
            "http://a..b",
            "http://[1.2]",
            "http://[::1",
        ],
    )
    def test_a_url_that_is_none_of_a_service_is_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(ValueError, match="http") as raised:
            Client(url)

        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize("url", ["HTTP://[::1]:3000/", " http://x/a/b\n"])
    def test_a_url_may_be_of_a_path_and_have_blanks_around_it(self, url: str) -> None:
        assert Client(url).url == url.strip().rstrip("/")

    @pytest.mark.parametrize("timeout", [0, -1, float("nan")])
    def test_a_timeout_of_no_time_is_refused(self, timeout: float) -> None:
        with pytest.raises(ValueError, match="timeout"):
            Client(timeout=timeout)

    def test_a_timeout_may_be_without_end(self, stack: Stack) -> None:
        with Client(stack.url, timeout=float("inf")) as client:
            assert client.health()["status"] == "healthy"

    @pytest.mark.parametrize("key", [f"{SECRET}\r\nX-Evil: 1", f"{SECRET}é", f"{SECRET}\x00"])
    def test_a_key_that_no_header_takes_is_refused_and_not_shown(self, key: str) -> None:
        with pytest.raises(ValueError, match="API key") as raised:
            Client(api_key=key)

        assert SECRET not in str(raised.value)

    def test_tasks_that_enter_one_client_do_not_close_it_for_each_other(self, stack: Stack) -> None:
        async def ask(client: AsyncClient) -> None:
            for _ in range(10):
                async with client:
                    await client.health()

        async def together() -> None:
            client = AsyncClient(stack.url)
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(ask(client))
            await client.close()

        asyncio.run(together())

    def test_a_client_that_was_closed_opens_again(self, stack: Stack) -> None:
        with Client(stack.url) as client:
            client.health()

        assert client.health()["status"] == "healthy"
        client.close()


class TestKeys:
    def test_no_repr_log_or_error_shows_the_key(self, stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        stack.faults("cut-before", "cut-before")
        client = Client(stack.proxy, SECRET, max_retries=1)
        with pytest.raises(errors.ConnectionFailed) as raised:
            client.get_context("x")

        shown = [repr(client), repr(vars(client)), repr(raised.value), str(raised.value), repr(raised.value.__cause__)]
        assert SECRET not in " ".join([*shown, caplog.text])


class TestErrors:
    def test_an_error_can_be_copied_and_sent_to_another_process(self) -> None:
        error = errors.VersionConflict(409, {"code": "version_conflict", "currentVersion": 4}, None, 2)

        for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert isinstance(other, errors.VersionConflict)
            assert (other.current_version, other.attempts, str(other)) == (4, 2, str(error))

    def test_the_places_that_are_not_valid_are_named(self, kata: Client, context_id: str) -> None:
        with pytest.raises(errors.InvalidRequest, match="/messages/0/role") as raised:
            kata.append(context_id, [{"role": "robot", "content": "Hi"}])

        assert [place["pointer"] for place in raised.value.errors] == ["/messages/0/role"]
        assert raised.value.request_id

    @pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"null", b"{", b'{"data": 1}', b"NaN"])
    def test_whatever_comes_in_place_of_an_answer_is_a_problem(self, content: bytes) -> None:
        for status in (200, 400):
            with pytest.raises(errors.ProblemError) as raised:
                answering(status, content).get_context("x")

            assert raised.value.code == f"http_{status}"

    def test_an_etag_that_a_proxy_has_weakened_is_the_services(self) -> None:
        assert answering(200, b'{"data": {}}', ETag='W/"5.1"').get_context("x")["etag"] == '"5.1"'
        with pytest.raises(errors.NotModified, match="not modified since") as raised:
            answering(304, b"", ETag='W/"5.1"').get_context("x", if_none_match='"5.1"')

        assert raised.value.etag == pickle.loads(pickle.dumps(raised.value)).etag == '"5.1"'

    def test_a_failed_connection_says_where_to(self) -> None:
        with pytest.raises(errors.ConnectionFailed, match=r"http://127\.0\.0\.1:1: ConnectError"):
            Client("http://127.0.0.1:1", max_retries=0).health()

    def test_an_answer_that_cannot_be_unpacked_is_a_failed_connection(self) -> None:
        with pytest.raises(errors.ConnectionFailed):
            answering(200, b"no gzip", **{"Content-Encoding": "gzip"}).get_context("x")


# Three processes that begin with their parent's client, and the exit statuses of those that read what others asked for.
FORKS = """
import os, sys
from kata_context import Client

kata = Client(sys.argv[1], max_retries=0)
contexts = [kata.create_context()["id"] for _ in range(3)]
children = []
for context in contexts:
    if not (child := os.fork()):
        os._exit(any(kata.get_context(context)["id"] != context for _ in range(200)))
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


@contextmanager
def pouring(head: bytes, piece: bytes, pause: float) -> Iterator[str]:
    """The URL of a server each of whose answers is a head and pieces without end, with seconds between them."""

    class Pouring(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with suppress(OSError):
                self.request.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
                while True:
                    self.request.sendall(piece)
                    time.sleep(pause)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pouring) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            server.shutdown()
            thread.join()


def both(url: str, timeout: float) -> list[errors.KataError]:
    """What reading a context by either client raises."""

    async def read() -> None:
        async with AsyncClient(url, timeout=timeout, max_retries=0) as client:
            await client.get_context("x")

    with Client(url, timeout=timeout, max_retries=0) as client, pytest.raises(errors.KataError) as raised:
        client.get_context("x")
    with pytest.raises(errors.KataError) as awaited:
        asyncio.run(read())
    return [raised.value, awaited.value]


class TestPauses:
    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_a_retry_after_of_a_minute_is_waited_for_and_no_longer_one(self, status: int) -> None:
        waited = [pause(errors.ProblemError(status, {}, 60.0), 1) or 0 for _ in range(100)]

        assert 60 <= min(waited) <= max(waited) <= 80
        assert pause(errors.ProblemError(status, {}, 61.0), 1) is None

    def test_without_one_they_double_up_to_eight_seconds(self) -> None:
        for attempts, most in ((1, 0.5), (2, 1), (3, 2), (5, 8), (6, 8), (10_000, 8)):
            waited = [pause(errors.ConnectionFailed(), attempts) or 0 for _ in range(100)]
            assert 0.75 * most <= min(waited) <= max(waited) <= most


class TestAnswersWithoutEnd:
    def test_an_answer_that_drips_is_given_up_in_time(self) -> None:
        with pouring(b"Content-Length: 1000000", b" ", 0.02) as url:
            assert [error.code for error in both(url, timeout=0.3)] == ["connection_failed"] * 2

    def test_an_answer_longer_than_any_of_the_service_is_not_read_to_its_end(self) -> None:
        with pouring(b"Transfer-Encoding: chunked", b"10000\r\n" + b" " * 0x10000 + b"\r\n", 0) as url:
            assert [error.code for error in both(url, timeout=60)] == ["http_200"] * 2

    def test_an_answer_that_unpacks_to_far_more_is_not_unpacked_to_its_end(self) -> None:
        bomb = gzip.compress(b" " * 300_000_000)
        head = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}".encode()
        tracemalloc.start()
        try:
            with pouring(head, bomb, 60) as url:
                assert [error.code for error in both(url, timeout=60)] == ["http_200"] * 2
            assert tracemalloc.get_traced_memory()[1] < 150_000_000
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("packed", ["gzip, gzip", "br", "zstd"])
    def test_an_answer_packed_as_was_not_asked_for_is_a_failed_connection(self, packed: str) -> None:
        with pouring(f"Content-Encoding: {packed}\r\nContent-Length: 2".encode(), b"{}", 60) as url:
            assert [error.code for error in both(url, timeout=60)] == ["connection_failed"] * 2


class TestJson:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object(), DEEP])
    def test_what_json_has_not_is_refused_before_anything_is_sent(self, value: object, stack: Stack) -> None:
        with Client(stack.proxy) as client, pytest.raises((ValueError, TypeError)):
            client.append("x", [{"role": "user", "content": "Hi", "metadata": {"value": value}}])

        assert stack.seen() == []

    @pytest.mark.parametrize("messages", ["Hi", {"role": "user", "content": "Hi"}, [["Hi"]], [None]])
    def test_what_is_no_list_of_messages_is_refused_before_anything_is_sent(self, messages: Any) -> None:
        with Client("http://127.0.0.1:9") as client, pytest.raises(TypeError, match="list of dicts"):
            client.append("x", messages)

    @pytest.mark.parametrize("number", [1.5, "../1", None])
    def test_the_number_of_a_compaction_is_a_whole_one(self, number: Any) -> None:
        with Client("http://127.0.0.1:9") as client, pytest.raises(TypeError):
            client.undo_compaction("x", number)

    def test_numbers_and_texts_come_back_as_they_went(self, kata: Client, context_id: str) -> None:
        metadata = {"big": 12345678901234567890123, "small": 1e-300, "texts": ["é", "😀", "\u2028", ""], "no": None}
        kata.append(context_id, [{"role": "user", "content": "Hi", "metadata": metadata}])

        assert next(iter(kata.messages(context_id)))["metadata"] == metadata

    def test_a_query_takes_texts_numbers_booleans_and_objects(self, kata: Client, context_id: str) -> None:
        kata.append(context_id, HI)
        kata.update_context(context_id, metadata={"a": {"b": [1, "é"]}})
        window = kata.window(
            context_id, budget=10, keep_preamble=True, clear_tool_results="off", compaction_due="0.8,4000"
        )

        assert [found["id"] for found in kata.contexts(metadata={"a": {"b": ["é"]}})] == [context_id]
        assert window["policy"]["keepPreamble"] is True
        assert window["policy"]["compactionDue"] == {"threshold": 0.8, "keepTokens": 10}

    @pytest.mark.parametrize("call", ["get_context", "contexts", "window"])
    def test_none_is_no_filter_and_no_condition(self, kata: Client, call: str, stack: Stack) -> None:
        arguments: dict[str, Any] = {"get_context": {"if_none_match": None}, "contexts": {"external_id": None}}
        with pytest.raises(TypeError, match="is None"):
            getattr(kata, call)(*["x"] * (call != "contexts"), **arguments.get(call, {"budget": None}))

        assert stack.seen() == []

    @pytest.mark.parametrize("value", ["", " ", " a", "a ", "a\nb", "é"])
    def test_a_header_takes_visible_characters(self, kata: Client, value: str) -> None:
        with pytest.raises(ValueError, match="If-Match"):
            kata.update_context("x", name="a", if_match=value)


class TestLists:
    def test_no_page_is_read_before_its_turn(self, kata: Client, context_id: str, stack: Stack) -> None:
        kata.append(context_id, HI * 10)
        with Client(stack.proxy) as client:
            first = list(islice(client.messages(context_id, limit=4), 4))

            assert [message["version"] for message in first] == [1, 2, 3, 4]
            assert len(stack.seen()) == 1
            assert [len(page) for page in client.messages(context_id, limit=4).pages()] == [4, 4, 2]

    def test_a_list_can_be_read_twice(self, kata: Client, context_id: str) -> None:
        kata.append(context_id, HI * 3)
        listed = kata.messages(context_id, limit=2)

        assert list(listed) == list(listed)


class TestConcurrency:
    def test_threads_share_a_client(self, kata: Client, context_id: str) -> None:
        threads = [threading.Thread(target=lambda: kata.append(context_id, HI)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert kata.get_context(context_id)["latestVersion"] == 20

    def test_processes_share_a_client_and_no_connection(self, stack: Stack) -> None:
        run = subprocess.run([sys.executable, "-c", FORKS, stack.url], check=True, capture_output=True, text=True)

        assert run.stdout == "[0, 0, 0]\n"

    def test_event_loops_share_a_client(self, stack: Stack, context_id: str) -> None:
        client = AsyncClient(stack.url)

        async def append() -> int:
            try:
                return (await client.append(context_id, HI))[0]["version"]
            finally:
                await client.close()

        assert [asyncio.run(append()) for _ in range(3)] == [1, 2, 3]

    def test_twenty_first_opens_at_once_make_one_context(self, stack: Stack, unique: str) -> None:
        async def main() -> set[str]:
            async with AsyncClient(stack.url) as client:
                made = await asyncio.gather(*(client.create_context(external_id=unique) for _ in range(20)))
                return {context["id"] for context in made}

        assert len(asyncio.run(main())) == 1

    def test_a_call_that_is_cancelled_sends_nothing_more(self, stack: Stack, context_id: str) -> None:
        stack.faults(*["cut-before"] * 9)

        async def main() -> None:
            async with AsyncClient(stack.proxy) as client, asyncio.timeout(0.2):
                await client.append(context_id, HI)

        with pytest.raises(TimeoutError):
            asyncio.run(main())
        assert len(stack.seen()) == 1


class TestServiceKilled:
    def test_a_hundred_appends_through_kills_are_stored_once_each(
        self, stack: Stack, kata: Client, context_id: str
    ) -> None:
        with Client(stack.proxy, max_retries=8) as client:
            for number in range(100):
                if number % 25 == 10:
                    stack.kill(seconds=0.2)
                client.append(context_id, [{"role": "user", "content": str(number)}])

        assert [message["content"] for message in kata.messages(context_id)] == [str(number) for number in range(100)]


def test_importing_the_client_imports_no_framework() -> None:
    code = "import json, sys, kata_context; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert not {"agents", "langchain", "langchain_core", "pydantic_ai", "mcp", "pydantic"} & set(
        json.loads(found.stdout)
    )
