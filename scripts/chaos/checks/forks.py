"""What PostgreSQL holds of forks, deletions and external ids, against what was sent, acknowledged and refused."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from scripts.chaos import rule
from scripts.chaos.checks.changes import UNSEEN
from scripts.chaos.checks.stored import Row, Stored
from scripts.chaos.clients import BAD_REQUEST
from scripts.chaos.log import Check, Context, Log, Refusal


def check_forks(log: Log, stored: Stored) -> list[Check]:
    """Holds forks, deletions and external ids against the log, and what forks see of compactions against the rule."""
    return [
        _made(log, stored),
        _keys(log, stored),
        _versions(log, stored),
        _compactions(log, stored),
        _external_ids(log, stored),
        _deletions(log, stored),
    ]


def _made(log: Log, stored: Stored) -> Check:
    check = Check("each acknowledged fork is there, of its parent, and none that was refused, each of these rightly")
    for fork in log.forks:
        row = stored.contexts.get(fork.id) or stored.named.get(fork.body["name"])
        if fork.parent and (fork.id or row):
            check.expect(row and row["parent_id"] == fork.parent.id, f"{fork.target} {fork.body}: {row}")
    for refusal in log.refused_forks:
        # An attempt before that was not answered may have made it since.
        gone = len(refusal.sent.began) > 1 or refusal.sent.body["name"] not in stored.named
        right = _above(refusal, stored) if refusal.problem["status"] == BAD_REQUEST else _unnamed(refusal, log, stored)
        check.expect(gone and right, f"{refusal.sent.target} {refusal}")
    forks = {fork.body["name"] for fork in log.forks}
    for name, row in stored.named.items():
        check.expect(row["parent_id"] is None or name in forks, f"{row} is no fork")
    return check


def _keys(log: Log, stored: Stored) -> Check:
    check = Check("each key of a creation or a fork stands for what it made, and nothing else has one")
    sent = {context.key: context for context in log.contexts if context.key}
    for key, context_id in stored.context_keys.items():
        row = stored.contexts.get(context_id)
        check.expect(row and key in sent and row["name"] == sent[key].body["name"], f"{key} stands for {row}")
    for key, context in sent.items():
        check.expect((context.body["name"] in stored.named) == (key in stored.context_keys), f"{context.target} {key}")
    return check


def _versions(log: Log, stored: Stored) -> Check:
    check = Check("forks are at the version that was asked for and answered, and have the tokens up to there")
    for fork, parent, row in _there(log, stored):
        version, latest = row["fork_version"], stored.contexts[parent.id]["latest_version"]
        right = version == fork.body["version"] if "version" in fork.body else version >= fork.least
        tokens = sum(message["tokenCount"] for message in stored.messages[row["id"]][:version])
        shown = (fork.stored["forkVersion"], fork.stored["totalTokens"]) if fork.id else (version, tokens)
        right = right and version <= latest and shown == (version, tokens)
        check.expect(right, f"{fork.body} from {fork.least}, answered {fork.stored}: {tokens} tokens, {row}")
    return check


def _compactions(log: Log, stored: Stored) -> Check:
    check = Check("forks see the compactions that their parent had made at or before their version, and no other")
    for fork, parent, row in _there(log, stored):
        made, version = stored.ruled(parent.id), row["fork_version"]
        # At a version that the parent has left behind no compaction is made any more.
        since = math.inf if version < fork.least else fork.began[0] - UNSEEN
        least = rule.seen_by_fork(made, version, since)
        most = rule.seen_by_fork(made, version, fork.acknowledged or math.inf)
        seen = made[: stored.shared(row["id"])]
        right = len(least) <= len(seen) <= len(most) and seen == most[: len(seen)]
        check.expect(right, f"{row['id']} at {version}: {seen}, at least {least}, at most {most}")
    return check


def _there(log: Log, stored: Stored) -> Iterator[tuple[Context, Context, Row]]:
    """Each fork that was made, acknowledged or not, its parent and its row."""
    for fork in log.forks:
        if fork.parent and (row := stored.named.get(fork.body["name"])):
            yield fork, fork.parent, row


# --- Refusals


def _above(refusal: Refusal[Context], stored: Stored) -> bool:
    """Whether the version was above one that was the latest meanwhile, which is named."""
    [wrong] = refusal.problem["errors"]
    named = int(re.findall(r"[0-9]+", wrong["detail"])[-1])
    parent = refusal.sent.parent
    highest = stored.contexts[parent.id]["latest_version"] if parent else 0
    asked: int = refusal.sent.body["version"]
    return wrong["pointer"] == "/version" and refusal.least <= named <= min(highest, asked - 1)


def _unnamed(refusal: Refusal[Context], log: Log, stored: Stored) -> bool:
    """Whether the parent had no external id to move, or a living context the one that was asked for."""
    fork = refusal.sent
    others = [each for each in log.contexts if each is not fork and each.body["name"] in stored.named]
    others = [each for each in others if each.began[0] <= refusal.answered]
    if fork.body.get("moveExternalId"):
        moved = any(each.parent is fork.parent and each.body.get("moveExternalId") for each in others)
        missing = fork.external_id is None or moved
        return refusal.problem["code"] == "external_id_missing" and missing
    return refusal.problem["code"] == "external_id_taken" and any(
        each.external_id == fork.external_id and not _gone(each, refusal.began) for each in others
    )


def _gone(context: Context, moment: float) -> bool:
    return bool(context.deletion and context.deletion.acknowledged and context.deletion.acknowledged < moment)


# --- External ids and deletions


def _external_ids(log: Log, stored: Stored) -> Check:
    check = Check("an external id stays where it was given, or is with the one fork that it has moved to")
    moved: defaultdict[str, list[str]] = defaultdict(list)
    for fork, parent, row in _there(log, stored):
        if fork.body.get("moveExternalId"):
            moved[parent.id].append(row["id"])
    living = Counter(row["external_id"] for row in stored.contexts.values() if not row["deleted_at"])
    for context in log.contexts:
        if found := stored.named.get(context.body["name"]):
            forks, name = moved[found["id"]], found["external_id"]
            right = len(forks) <= 1 and name == (None if forks else context.external_id)
            check.expect(right, f"{found}, not {context.external_id}, moved to {forks}")
            check.expect(name is None or living[name] <= 1, f"{name} names {living[name]} contexts")
    return check


def _deletions(log: Log, stored: Stored) -> Check:
    check = Check("what was deleted is, and nothing else")
    for context in log.contexts:
        if context.id:
            deletion, deleted_at = context.deletion, stored.contexts[context.id]["deleted_at"]
            right = bool(deletion) if deleted_at else not (deletion and deletion.acknowledged)
            check.expect(right, f"{context.id} was deleted {deleted_at}: {deletion}")
    return check
