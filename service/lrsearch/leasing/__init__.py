"""The workers' side: claims, leases and their fence, heartbeats, reports."""
