"""Tests of the live side: the log, the fold, the service, the command line."""
