"""Prints what the base install and one extra need, so that an image has it in a layer of its own.

Usage: python requirements.py EXTRA, in the folder of pyproject.toml.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
requirements = project["dependencies"] + project["optional-dependencies"][sys.argv[1]]
sys.stdout.write("\n".join(requirements) + "\n")
