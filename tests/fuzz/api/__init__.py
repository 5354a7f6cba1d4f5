"""Requests by the thousand, made by Schemathesis from the API's own description."""
