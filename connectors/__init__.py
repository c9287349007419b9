"""Channels: one file each, a Rasa input channel with its signature check and its feedback."""
