"""Where the browser of these tests is: Debian's Chromium, or what a system has in its place."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def program() -> str | None:
    """Its path, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)
