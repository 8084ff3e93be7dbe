"""Vercel on this machine: its routes, and what its builder wrote run on its own Python runtime.

config      the routes that the builder makes of vercel.json, api/ and public/
routes      what serves a path, by such routes
edge        what is answered without a function: static files, redirects, errors
built       the output of `vercel build`: functions, static files, routes
functions   the processes of a function
deployment  the bundle, serving on a port: functions behind a router

Arrows: deployment -> functions -> built -> config, routes; edge -> routes.
"""
