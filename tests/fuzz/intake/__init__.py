"""Broken and hostile archives and images by the thousand, each refused or taken as a whole."""
