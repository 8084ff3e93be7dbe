"""Vercel on this machine: what its builder wrote, run on its own Python runtime.

built       the output of `vercel build`: functions, static files, routes
routes      what serves a path, by those routes
functions   the processes of a function
deployment  the bundle, serving on a port: functions behind a router

Arrows: deployment -> functions -> built -> routes.
"""
