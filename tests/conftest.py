"""One PostgreSQL and one server for the whole run. A context is its own world, so tests share them."""

import os
import threading
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest
import uvicorn

from scripts import migrate, postgres
from scripts.dev import listening_socket
from scripts.router import Router
