"""The pages that people read, one router a file."""
