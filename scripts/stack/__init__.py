"""What the commands run on, and tests with them.

postgres   an embedded PostgreSQL with pgvector
pgbouncer  a PgBouncer in front of it
router     the API in one process, routed as on Vercel
probes     requests that tell two servers of the API apart
vercel     Vercel's routes, and the bundle on its own runtime
"""
