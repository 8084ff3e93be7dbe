"""`make bench`: the API measured against floors.

__main__  the command
sql       statements beside the least that PostgreSQL can do
windows   windows by the size of the history, policy by policy, and what clearing adds
forks     forks beside a bare INSERT, and reads of them beside those of what is no fork
formats   windows in each provider's format beside those in our own
costs     what windows cost their user, by policy, on transcripts replayed: `--costs`
http      the dev server's requests per second beside a no-op's, and its memory
imports   what a cold start pays to import each endpoint file
bundle    the bundle on Vercel's own runtime: as it is, with uvloop, with uvloop and httptools
calls     what is called there
starts    cold starts, and where their time goes
rates     requests per second, memory, and the CPU of a request
against   this tree beside another revision, alone: `--against`
trees     a revision's tree on a database of its own
worker    the process that calls its API
server    the dev server with endpoints to measure against
client    the load generator
report    tables of figures, goals and whether they were met
"""
