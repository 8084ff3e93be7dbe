"""What the writers of `make chaos` append: turns of an agent, and what goes wrong in them."""

import json
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from scripts.chaos.log import Batch, Context, Message

WORDS = ("context", "budget", "version", "größer", "文脈", "🙂", "\\u0041", '"', "</script>", "<|endoftext|>", "a\nb")


class Author:
    """One writer's messages: calls that are answered at once, late, twice or never, answers without a call."""

    def __init__(self, chance: random.Random, next_id: Callable[[], str]) -> None:
        self._random = chance
        self._next_id = next_id
        # Ids of calls in a context that a later batch answers.
        self._open: defaultdict[Context, list[str]] = defaultdict(list)
        # A call of the context before.
        self._foreign = next_id()

    def batch(self, context: Context) -> Batch:
        """A batch to append, most often under a key."""
        key = None if self._random.random() < 0.15 else self._next_id()
        messages: list[Message] = []
        if not context.batches:
            messages += [self._message("system") for _ in range(self._random.randint(0, 3))]
            # Of a fork: to calls that its ancestors have, or had behind its version.
            messages += [self._stray(context) for _ in range(2)] if context.parent else []
        # Late answers: in the batch after their call, or so much later that other units lie between.
        waiting = self._open[context]
        for call in [call for call in waiting if self._random.random() < 0.6]:
            waiting.remove(call)
            messages.append(self._answer(call))
        for _ in range(self._random.randint(1, 3)):
            messages += self._turn(context)
        if self._random.random() < 0.2:
            messages.insert(self._random.randrange(len(messages) + 1), self._stray(context))
        return Batch(context=context, key=key, body={"messages": messages})

    def race(self, context: Context) -> list[Batch]:
        """A batch with a call and two with its answer, to be appended at once: which comes first decides."""
        call = self._call(context)
        # Some more messages, so that the row of the context stays locked for a while.
        calling = [self._message("assistant", content=None, toolCalls=[call]), self._message("user")]
        calling += [self._message("assistant") for _ in range(20)]
        answering = [[self._answer(call["id"]), self._message("user")] for _ in range(2)]
        return [
            Batch(context=context, key=self._next_id(), body={"messages": messages})
            for messages in (calling, *answering)
        ]

    def stored(self, batch: Batch) -> None:
        """Takes a batch that was acknowledged: its calls are known now."""
        calls = [call["id"] for message in batch.messages for call in message.get("toolCalls") or ()]
        answered = {message["toolCallId"] for message in batch.messages if message["role"] == "tool"}
        self._open[batch.context] += [call for call in calls if call not in answered and self._random.random() < 0.8]

    def forked(self, fork: Context, parent: Context) -> None:
        """Takes a fork: what is open in its parent is answered in it, too, also where the call is behind the fork."""
        self._open[fork] = [*self._open[parent]]

    def _turn(self, context: Context) -> list[Message]:
        messages = [self._message("user")] if self._random.random() < 0.7 else []
        # A loop of calls, of which not every one has a user before it.
        while self._random.random() < 0.45:
            calls = [self._call(context) for _ in range(self._random.randint(1, 3))]
            messages.append(self._message("assistant", content=None, toolCalls=calls))
            ids = [call["id"] for call in calls]
            messages += [self._answer(call) for call in dict.fromkeys(ids) if self._random.random() < 0.8]
        if self._random.random() < 0.05:
            messages.append(self._message("system"))
        return [*messages, self._message("assistant", model="a-model")]

    def _stray(self, context: Context) -> Message:
        """An answer to a call of any writer, on its way perhaps; or to one of another context, or to none."""
        foreign, self._foreign = self._foreign, self._random.choice(context.calls or [self._next_id()])
        newest = context.calls[-5:]
        return self._answer(self._random.choice(newest) if newest and self._random.random() < 0.8 else foreign)

    def _answer(self, call_id: str) -> Message:
        return self._message("tool", toolCallId=call_id, toolName="look_up")

    def _call(self, context: Context) -> dict[str, Any]:
        arguments = json.dumps({"word": self._random.choice(WORDS)})
        used = context.calls[-20:]
        # Some agents number the calls of each turn anew: answers go to the newest of that id.
        call_id = self._random.choice(used) if used and self._random.random() < 0.15 else self._next_id()
        context.calls.append(call_id)
        return {"id": call_id, "type": "function", "function": {"name": "look_up", "arguments": arguments}}

    def _message(self, role: str, **members: Any) -> Message:
        message: Message = {
            "role": role,
            "content": self._content(),
            "metadata": {"payload": self._next_id()},
            **members,
        }
        if self._random.random() < 0.8:
            message["tokenCount"] = self._random.randint(1, 400)
        return message

    def _content(self) -> str | list[dict[str, Any]]:
        # Now and then more than a TCP segment or a socket's buffer holds.
        count = self._random.choice((3, 10, 40, 100)) if self._random.random() < 0.98 else 20_000
        text = " ".join(self._random.choices(WORDS, k=count))
        return [{"type": "text", "text": text}, {"type": "x", "n": 1.5}] if self._random.random() < 0.1 else text
