"""How much of a fleet the service bears, on a real PostgreSQL."""
