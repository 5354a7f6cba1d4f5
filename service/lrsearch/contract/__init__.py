"""The REST contract: every type that client, service and worker exchange."""
