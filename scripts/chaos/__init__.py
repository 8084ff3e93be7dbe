"""`make chaos`: everything around the service breaks while it is used.

__main__  the command: a run from its start to its verdict
stack     what runs: functions, a proxy, PgBouncer, PostgreSQL
proxy     the TCP proxy between functions and PgBouncer
faults    each kind of fault, and the schedule of a seed
clients   what writers and readers share: attempts, retries, the form of answers
writers   append and race, do all of the above, and replay what they sent
batches   what they append: turns, calls that are answered late, twice or never, answers without a call
changers  set policies, compact and undo
creators  create, fork and delete contexts
readers   read while contexts grow
windows   what is asked of windows, and what they are held against
rule      the rule of windows and compactions, in full and plain
log       what was sent, acknowledged, refused, broken and found
checks    what must hold at the end
figures   how long freezes and bursts take to get over
"""
