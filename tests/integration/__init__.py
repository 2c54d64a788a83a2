"""Tests with real daemons, real sockets and agents that misbehave, on this machine as it is."""
