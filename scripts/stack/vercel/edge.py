"""What the platform answers without a function: static files, redirects, errors; and the headers that it adds."""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.stack.vercel.routes import Match

type Headers = list[tuple[bytes, bytes]]

# Python's own table: the system's would differ from machine to machine.
TYPES = mimetypes.MimeTypes()
TEXT = ("application/json", "application/javascript", "application/xml", "image/svg+xml")

REDIRECTS = range(300, 400)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets."""

    status: int
    headers: Headers
    body: bytes


def error(status: int, code: str) -> Answer:
    """An answer of the platform's own, told from a function's by its header, as on the platform."""
    return Answer(status, [(b"content-type", b"text/plain"), (b"x-vercel-error", code.encode())], code.encode())


def answer(match: Match, static: Mapping[str, Path], method: str) -> Answer:
    """The answer to a request that no function serves."""
    if match.target is not None:
        return _file(static[match.target], method, match.status)
    if match.status in REDIRECTS:
        return _redirect(match)
    return error(match.status, "NOT_FOUND")


def _file(path: Path, method: str, status: int) -> Answer:
    if method not in {"GET", "HEAD"}:
        return error(405, "METHOD_NOT_ALLOWED")
    kind = TYPES.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind in TEXT:
        kind += "; charset=utf-8"
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"public, max-age=0, must-revalidate")]
    return Answer(status, headers, path.read_bytes())


def _redirect(match: Match) -> Answer:
    location = match.headers["Location"]
    if match.query and "?" not in location:
        location += f"?{match.query}"
    headers = [(b"content-type", b"text/plain"), (b"location", location.encode("latin-1"))]
    return Answer(match.status, headers, b"Redirecting...\n")


def complete(headers: Headers, added: Mapping[str, str]) -> Headers:
    """The answer's headers, and those of added that it does not have."""
    names = {name.lower() for name, _ in headers}
    extra = [(name.lower().encode(), value.encode("latin-1")) for name, value in added.items()]
    return [*headers, *(pair for pair in extra if pair[0] not in names)]
