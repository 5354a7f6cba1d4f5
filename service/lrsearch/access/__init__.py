"""Who asks, what they may see, how much they may have, and what is written down of it."""
