"""Everything that proves the project works."""
