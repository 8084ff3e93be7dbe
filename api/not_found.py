"""Every path that is no other endpoint's: vercel.json sends it here, for a problem document and no HTML page."""

from lib.web import endpoint

app = endpoint()
