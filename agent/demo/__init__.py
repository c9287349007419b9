"""The demonstration: a learning log full of simulated traffic, made by the real service, and marked as simulated."""
