"""Prints what the base install and some extras need, so that an image has it in a layer of its own.

Usage: python requirements.py EXTRA…, in the folder of pyproject.toml.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [project["optional-dependencies"][extra] for extra in sys.argv[1:]]
requirements = sum(extras, project["dependencies"])
sys.stdout.write("\n".join(requirements) + "\n")
