"""The supervisor: asks all agents at once, judges them, and keeps what they said."""
