"""Networks of five stages and a head."""
