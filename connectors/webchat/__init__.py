"""The web chat, for the channel `web`: its page and its files, and what they say to the server."""
