"""Mail, for the channel `email`: reading it, writing it, and the links that rate an answer."""
