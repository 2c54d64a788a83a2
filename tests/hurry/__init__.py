"""A whole supervisor that lives through hours in seconds: its command, on a clock that does not wait."""
