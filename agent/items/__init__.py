"""What is recommended: a catalogue of items, what customers want of them, and which are shown."""
