"""What PostgreSQL holds of contexts and messages, of forks with what they share, against what was acknowledged."""

from collections import Counter

from scripts.chaos.checks.stored import Stored
from scripts.chaos.log import Batch, Check, Log, is_as_sent, payload_id


def check_appends(log: Log, stored: Stored) -> list[Check]:
    """Holds contexts, messages and keys against the log, and messages against each other."""
    return [
        _nothing_lost(log, stored),
        _nothing_twice(log, stored),
        _nothing_partial(log, stored),
        _nothing_unsent(log, stored),
        _content(log, stored),
        *_figures(stored),
        _calls(stored),
        _keys(log, stored),
    ]


def _nothing_lost(log: Log, stored: Stored) -> Check:
    check = Check("nothing acknowledged is lost (contexts and messages)")
    for context in log.contexts:
        if context.id:
            row = stored.contexts.get(context.id, {})
            same = (row.get("name"), row.get("metadata")) == (context.body["name"], context.metadata)
            check.expect(same, f"context {context.id}: {row}")
    for batch in log.batches:
        rows = stored.messages[batch.context.id]
        for version, message_id in enumerate(batch.message_ids, batch.first_version or 0):
            found = rows[version - 1] if version <= len(rows) else {}
            check.expect(found.get("id") == message_id, f"{batch.context.id} version {version}: {found}")
    return check


def _nothing_twice(log: Log, stored: Stored) -> Check:
    check = Check("nothing is stored twice (contexts and messages, by what was sent)")
    contexts = Counter(row["name"] for row in stored.contexts.values())
    for context in log.contexts:
        times = contexts[context.body["name"]]
        check.expect(times <= 1, f"{context.target} {context.key}: {times} times")
    messages = Counter(payload_id(row) for rows in stored.appended.values() for row in rows)
    for payload in log.sent:
        check.expect(messages[payload] <= 1, f"message {payload}: {messages[payload]} times")
    return check


def _nothing_partial(log: Log, stored: Stored) -> Check:
    check = Check("a batch is stored whole, in order and side by side, or not at all")
    places = {payload_id(row): row["version"] for rows in stored.appended.values() for row in rows}
    for batch in log.batches:
        versions = [places.get(payload_id(message)) for message in batch.messages]
        first = versions[0]
        whole = first is not None and versions == list(range(first, first + len(versions)))
        nothing = not any(versions) and not batch.acknowledged
        check.expect(whole or nothing, f"{batch.context.id} {batch.key}: versions {versions}")
    return check


def _nothing_unsent(log: Log, stored: Stored) -> Check:
    check = Check("nothing is stored of an incomplete request or of a key with another payload")
    places = {payload_id(row) for rows in stored.appended.values() for row in rows}
    for batch in log.batches:
        if not batch.complete:
            for message in batch.messages:
                check.expect(payload_id(message) not in places, f"{batch.context.id}: {payload_id(message)}")
    for context in log.contexts:
        if not context.complete:
            check.expect(context.body["name"] not in stored.named, f"{context.target} {context.body}")
    places |= {payload_id(row) for row in stored.contexts.values()}
    for payload in log.unwanted:
        check.expect(payload not in places, payload)
    return check


def _content(log: Log, stored: Stored) -> Check:
    check = Check("content equals what was sent")
    for rows in stored.appended.values():
        for row in rows:
            sent = log.sent.get(payload_id(row))
            check.expect(sent is not None and is_as_sent(row, sent), f"{row['contextId']} version {row['version']}")
    return check


def _figures(stored: Stored) -> list[Check]:
    gaps = Check("versions have no gaps")
    counters = Check("message_count, latest_version and total_tokens agree with the rows")
    sums = Check("cumulative_tokens agree with the rows")
    for context_id, row in stored.contexts.items():
        rows = stored.messages[context_id]
        gaps.expect([message["version"] for message in rows] == list(range(1, len(rows) + 1)), context_id)
        total = 0
        for message in rows:
            total += message["tokenCount"]
            sums.expect(message["cumulative_tokens"] == total, f"{context_id} version {message['version']}")
        counted = {"message_count": len(rows), "latest_version": len(rows), "total_tokens": total}
        counters.expect({name: row[name] for name in counted} == counted, f"{context_id}: {row} is not {counted}")
    return [gaps, counters, sums]


def _calls(stored: Stored) -> Check:
    check = Check(
        "each tool message has the version of the call that it answers, by the rule; other messages have none"
    )
    for context_id in stored.contexts:
        for row, message in zip(stored.messages[context_id], stored.history(context_id), strict=True):
            right = (message.call or 0) if message.role == "tool" else None
            check.expect(row["call_version"] == right, f"{context_id} version {message.version}: {row['call_version']}")
    return check


def _keys(log: Log, stored: Stored) -> Check:
    check = Check("each stored key names its batch, and each batch with a key has one")
    places = {payload_id(row): row["version"] for rows in stored.appended.values() for row in rows}
    batches = {(batch.context.id, batch.key): batch for batch in log.batches if batch.key}
    for place, row in stored.keys.items():
        batch = batches.get(place)
        named = (row["first_version"], row["last_version"])
        check.expect(batch and named == _span(batch, places), f"{place}: {row}")
    for place, batch in batches.items():
        check.expect((place in stored.keys) == (_span(batch, places)[0] is not None), f"{place}")
    return check


def _span(batch: Batch, places: dict[str, int]) -> tuple[int | None, int | None]:
    return places.get(payload_id(batch.messages[0])), places.get(payload_id(batch.messages[-1]))
