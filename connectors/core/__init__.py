"""What every channel stands on: what comes in, what goes out, and the work in between."""
