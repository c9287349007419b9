"""Support channels: one file each, with its signature check and its feedback; `core` is what all stand on."""
