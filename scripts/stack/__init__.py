"""What the commands run on, and tests with them.

postgres   an embedded PostgreSQL with pgvector
pgbouncer  a PgBouncer in front of it
router     the API in one process, routed as on Vercel
vercel     the bundle, on Vercel's own runtime
"""
