"""HTTP for the endpoint files: they import what they need from here.

requests     read a request: path, query, headers, body; what it hands out has been checked
answers      write an answer: JSON, pages, problem documents, ETags
log          one line of JSON per request
application  run an endpoint: routes methods to handlers, keys, the process's start and end

Arrows: application -> log, requests, answers.
"""

from lib.web.answers import Response, check_answer, etag, figures, listed, many, one, page, replay, shown
from lib.web.application import App, Send, endpoint
from lib.web.requests import Receive, Request, Scope, off_the_loop

__all__ = [
    "App",
    "Receive",
    "Request",
    "Response",
    "Scope",
    "Send",
    "check_answer",
    "endpoint",
    "etag",
    "figures",
    "listed",
    "many",
    "off_the_loop",
    "one",
    "page",
    "replay",
    "shown",
]
