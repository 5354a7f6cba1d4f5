"""The tests of lrsearch."""
