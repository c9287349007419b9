"""Review: what the learning log says, arranged so that people find their way through a million decisions."""
