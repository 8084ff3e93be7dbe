"""Formats: a window as a provider's request has it, and what a provider gave as messages of ours. Pure.

conversion       both directions: a window's members and repairs, the body of an append
history          the messages of a window: each call with its results, ids and names, repairs
parts            what stands in messages: texts, media, refusals, arguments
reading          a provider's own messages: values with their places, and what comes of them
openai_chat      OpenAI's chat completions
openai_responses OpenAI's responses
anthropic        Anthropic's messages
gemini           Google's generateContent
ai_sdk           the AI SDK's model messages

A format's module has two functions, render and parse. None is imported before a request names its format, nor is any
other module here: a cold start pays for none.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.batches import Batch
    from lib.formats.conversion import Rendered
    from lib.models import ProviderAppend
    from lib.windows import Window

# How long conversions take beside reading JSON, which takes 20 ns a character: a character of what is parsed as 10, as
# there may be a block in each 30; a message that is rendered as 250, and 3 of its characters as one (measured).
_PARSED = 10
_RENDERED = 250


def parsing(text: str) -> int:
    """How long the parsing of an append takes, in characters of JSON."""
    return len(text) * _PARSED


def rendering(window: "Window") -> int:
    """How long the rendering of a window takes, in characters of JSON."""
    return sum(_RENDERED + len(text) // 3 for text in window.texts)


def render(window: "Window") -> "Rendered":
    """A window in its format: accepted by that provider, whatever the window holds."""
    from lib.formats import conversion  # noqa: PLC0415 - as said above

    return conversion.render(window)


def parse(append: "ProviderAppend", text: str) -> "Batch":
    """The messages of an append in a provider's format, whose JSON text is given.

    Raises InvalidBody, with pointers into what was sent, and PayloadTooLarge.
    """
    from lib.formats import conversion  # noqa: PLC0415 - as said above

    return conversion.parse(append, text)
