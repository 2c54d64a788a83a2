"""Parsers of both sides fed with bytes that nobody thought of: briefly in `make test`, for long with `make fuzz`."""
