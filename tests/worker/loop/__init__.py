"""The tests of the worker's loop: what it says to the service, and when."""
