"""What goes on in the background: leases expire, garbage goes, the ledger and webhooks are told."""
