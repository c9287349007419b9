"""Support channels: one file each, with its signature check and its feedback."""
