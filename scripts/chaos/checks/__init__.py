"""The end of `make chaos`: every context against the log of what was sent and acknowledged, and against the rule.

stored   waits until nothing runs, and reads what PostgreSQL holds
appends  contexts and messages
changes  policies, compactions and undoings, and what was refused
forks    forks, deletions and external ids, and what was refused
api      pages, windows and replays, as the API answers once all is quiet; windows that were read meanwhile
"""
