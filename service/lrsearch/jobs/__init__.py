"""A job's life: submitted, searched, confirmed, tested; why it waits; what a user may change."""
