"""The lrsearch worker: pulls leases over HTTP, finetunes with torch, reports back."""
