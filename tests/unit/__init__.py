"""Tests without a network, a process or a root: seconds for all of them."""
