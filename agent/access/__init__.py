"""Who may do what: users, sessions, API keys, and a trail of what they did. No web framework here."""
