"""Kata Context's shared code, imported by the endpoint files under api/.

config      settings, read once from the environment
errors      every problem the API answers with, as one exception hierarchy
models      what bodies look like, and limits
shapes      what answers look like, for documents and tests
queries     what query strings may have
jsontext    JSON text to Python objects, refusing what could not come back equal
tokens      how many tokens a message has
db          the connection pool, and psycopg's errors mapped to ours
contexts    create, read, update and delete contexts
lists       contexts by the time of their creation, with filters
batches     what an append stores, and the tokens of each message
messages    append and page messages
windows     what to send to a model next, within a token budget
runs        which messages a window's run holds: the rule
formats     a window as a provider takes it, and what a provider gave (a room of its own)
compactions make, list, read and undo summaries that stand in for messages
forks       contexts that share another's history up to a version
health      what the database says about itself
web         ASGI: requests, answers, problem documents, the request log (a room of its own)

Arrows: api -> web and repositories (contexts, lists, messages, windows, compactions, forks, health)
-> models, errors.
Repositories take a connection first and know nothing of HTTP, config or the pool.
"""

import gc

# Objects between two looks for garbage. Imports make many objects and no garbage; with Python's own threshold, 700, the
# looks take 10 ms of a cold start. An application sets another when it starts.
gc.set_threshold(200_000)

__version__ = "0.1.0"
