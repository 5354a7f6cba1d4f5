"""The command line: each command a small file, each a thin layer over the client."""
