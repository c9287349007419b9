"""Peers of Rejoinder's learners, a file each: run in environments of their own, they import nothing of ours."""
