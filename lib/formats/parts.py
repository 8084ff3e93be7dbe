"""What stands in messages, whatever the provider: texts, media, refusals, the arguments of calls. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lib import errors, jsontext

# The member that carries what a model wrote as arguments where that is no JSON object; the AI SDK has the same.
RAW_ARGUMENTS = "rawInvalidInput"

_INK = re.compile(r"[!-~]")
# Letters and symbols that show nothing: fillers of Hangul, and a Braille pattern without dots.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"

_DATA_URL = re.compile(r"data:([^;,\s]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL | re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_SPACES = re.compile(r"\s+")
_STANDARD = str.maketrans("-_", "+/")
_SYNONYMS = {"image/jpg": "image/jpeg"}
_WEB = re.compile(r"https?://\S+")

# The images that every provider takes.
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})

# By what a URL ends with.
ENDINGS = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "webp": "image/webp",
}

AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def visible(text: str) -> bool:
    """Whether a text has a character that shows: a letter, a number, a mark of punctuation or a symbol."""
    return _INK.search(text) is not None or any(
        unicodedata.category(character)[0] in "LNPS" and character not in _BLANK
        for character in text
        if character > "~"
    )


def arguments(text: str) -> dict[str, Any] | None:
    """The object that a call's arguments are, as jsontext.read has it; None where they are none that all can read."""
    try:
        # Half a character may hide in an escape; what is nested too deep has many braces.
        if "\\u" in text or text.count("{") + text.count("[") > jsontext.MAX_DEPTH:
            jsontext.parse(text)
        value = jsontext.read(text)
    except (ValueError, errors.InvalidRequest):
        return None
    return value if isinstance(value, dict) else None


class Refusal(NamedTuple):
    """What a model said instead of an answer."""

    text: str


class Media(NamedTuple):
    """An image, a file or a sound: by its content in base64, by its URL on the web, or by OpenAI's id of a file."""

    kind: Literal["image", "file", "audio"]
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    detail: str = ""

    @property
    def data_url(self) -> str:
        """The content as a data URL."""
        return f"data:{self.media_type};base64,{self.data}"

    @property
    def link(self) -> str:
        """The URL on the web, or else the content as a data URL; empty where there is neither."""
        return self.url or (self.data and self.data_url)

    @property
    def part(self) -> dict[str, Any]:
        """It as a part of ours, which is one of OpenAI's chat completions wherever these have one."""
        if self.kind == "image":
            return {"type": "image_url", "image_url": {"url": self.link} | _given(detail=self.detail)}
        if self.kind == "audio":
            sound = next(name for name, media_type in AUDIO_TYPES.items() if media_type == self.media_type)
            return {"type": "input_audio", "input_audio": {"data": self.data, "format": sound}}
        data_url = self.data and self.data_url
        file = _given(file_id=self.file_id, filename=self.name, file_data=data_url, file_url=self.url)
        return {"type": "file", "file": file}


def _given(**members: str) -> dict[str, str]:
    return {name: value for name, value in members.items() if value}


def linked(kind: Literal["image", "file"], link: object, **members: str) -> Media | None:
    """What a URL on the web or a data URL is; an image only of a type that all take, a PDF always a file.

    None for what is neither.
    """
    if not isinstance(link, str):
        return None
    if _WEB.fullmatch(link):
        return Media(kind, url=link, **members)
    found = _DATA_URL.fullmatch(link)
    return found and encoded(kind, found[1].lower(), found[2], **members)


def encoded(kind: Literal["image", "file"], media_type: object, data: object, **members: str) -> Media | None:
    """What has a media type and content in base64; None where it has not, and for an image that not all take."""
    if not isinstance(media_type, str) or not isinstance(data, str) or "/" not in media_type:
        return None
    # As Google's SDK writes it, as mail is broken into lines, and without what only fills it up.
    data = _SPACES.sub("", data).translate(_STANDARD).rstrip("=")
    data += "=" * (-len(data) % 4)
    media_type = _SYNONYMS.get(media_type, media_type)
    if kind == "image" and media_type == "application/pdf":
        kind = "file"
    if len(data) % 4 or not _BASE64.fullmatch(data) or (kind == "image" and media_type not in IMAGE_TYPES):
        return None
    return Media(kind, media_type, data, **members)


def faithful(media: Media, given: object) -> bool:
    """Whether a text has content as every reader takes it: in the base64 of RFC 4648, padded, of a type by its name."""
    return not media.data or (isinstance(given, str) and media.data in given and media.media_type in given.lower())


def media(part: Mapping[str, Any]) -> Media | None:
    """The image, file or sound that a part of ours is; None where it is none, or not one that could be sent."""
    kind = part["type"]
    value = part.get(kind)
    if kind == "image_url":
        value = {"url": value} if isinstance(value, str) else value
        return linked("image", value.get("url"), detail=_text(value, "detail")) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return None
    if kind == "input_audio":
        media_type = AUDIO_TYPES.get(_text(value, "format"), "")
        found = encoded("file", media_type, value.get("data"))
        return found and found._replace(kind="audio")
    if kind == "file":
        if file_id := _text(value, "file_id"):
            return Media("file", file_id=file_id)
        return linked("file", value.get("file_data") or value.get("file_url"), name=_text(value, "filename"))
    return None


def media_type_of(media: Media) -> str:
    """Its media type, for a URL by what that ends with; empty where nobody knows."""
    return media.media_type or ENDINGS.get(media.url.partition("?")[0].rpartition(".")[2].lower(), "")


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
