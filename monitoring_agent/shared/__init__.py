"""What the agent publishes for its clients: the wire contract, the settings file and the way both daemons log."""
