"""`make chaos`: everything around the service breaks while it is used.

__main__  the command: a run from its start to its verdict
stack     what runs: functions, a proxy, PgBouncer, PostgreSQL
proxy     the TCP proxy between functions and PgBouncer
faults    each kind of fault, and the schedule of a seed
clients   what writers and readers share: attempts, retries, the form of answers
writers   create and append, and replay what they sent
readers   read while contexts grow
log       what was sent, acknowledged, broken and found
checks    what must hold at the end
figures   how long freezes and bursts take to get over
"""
