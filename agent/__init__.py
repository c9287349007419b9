"""What makes the learning live: encoder, learning log, service, Rasa plug-in and console."""
