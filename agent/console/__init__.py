"""The review pages and the HTTP API."""
