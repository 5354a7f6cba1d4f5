"""Which part may import which: the service no torch, the worker no database, the contract nothing.

The lines are held twice: by importing each part where what it must not need is missing, and by
reading every import statement, those inside functions too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import lrsearch
import lrsearch_worker

SERVICE = Path(lrsearch.__file__).parent
WORKER = Path(lrsearch_worker.__file__).parent

PYDANTIC = {
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
}

TORCH_AND_WORKER = {"torch", "torchvision", "lrsearch_worker"}

DATABASE_AND_SERVER = {"alembic", "fastapi", "optuna", "psycopg", "sqlalchemy", "starlette"}

OUTER = ("lrsearch.api", "lrsearch.cli", "lrsearch.embedded")
"""What starts the service, and so may know its API."""

IMPORT_ALL = """
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__ if {below} else [], package.__name__ + "."):
    if not module.name.endswith("__main__"):  # which would run
        importlib.import_module(module.name)
"""


def test_the_service_needs_neither_torch_nor_the_worker() -> None:
    _import_all("lrsearch", missing=TORCH_AND_WORKER)


def test_the_worker_needs_neither_database_nor_server() -> None:
    _import_all("lrsearch_worker", missing=DATABASE_AND_SERVER)


def test_the_workers_loop_needs_no_torch() -> None:
    _run(IMPORT_ALL.format(missing={"torch"}, package="lrsearch_worker.loop", below=False))


def test_the_contract_needs_nothing_but_pydantic() -> None:
    installed = set(packages_distributions())
    _import_all("lrsearch.contract", missing=installed - PYDANTIC - {"lrsearch"})


def test_the_worker_imports_nothing_of_the_service_but_its_contract() -> None:
    wrong = {
        (module, imported)
        for module, imported in _imports(WORKER)
        if _is_below(imported, "lrsearch") and not _is_below(imported, "lrsearch.contract")
    }
    assert wrong == set()


def test_the_worker_names_neither_database_nor_server() -> None:
    wrong = {
        (module, imported)
        for module, imported in _imports(WORKER)
        if imported.partition(".")[0] in DATABASE_AND_SERVER
    }
    assert wrong == set()


def test_the_engine_knows_neither_leases_nor_http() -> None:
    outside = ("httpx", *(f"lrsearch_worker.{m}" for m in ("heart", "leases", "loop", "service")))
    wrong = {
        (module, imported)
        for part in ("engine", "networks", "data")
        for module, imported in _imports(WORKER / part)
        if any(_is_below(imported, name) for name in outside)
    }
    assert wrong == set()


@pytest.mark.parametrize("package", sorted(TORCH_AND_WORKER))
def test_the_service_never_imports(package: str) -> None:
    wrong = {(module, name) for module, name in _imports(SERVICE) if _is_below(name, package)}
    assert wrong == set()


def test_the_core_does_not_import_the_api() -> None:
    wrong = {
        (module, imported)
        for module, imported in _imports(SERVICE)
        if _is_below(imported, "lrsearch.api")
        and not any(_is_below(module, outer) for outer in OUTER)
    }
    assert wrong == set()


def test_the_contract_imports_only_itself_of_the_service() -> None:
    wrong = {
        (module, imported)
        for module, imported in _imports(SERVICE)
        if _is_below(module, "lrsearch.contract")
        and _is_below(imported, "lrsearch")
        and not _is_below(imported, "lrsearch.contract")
    }
    assert wrong == set()


def _import_all(package: str, missing: set[str]) -> None:
    """Import a package and all below it where others are missing."""
    _run(IMPORT_ALL.format(package=package, missing=missing, below=True))


def _run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _imports(package: Path) -> Iterator[tuple[str, str]]:
    """Module and imported name, for every import statement below a package."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} has a relative import"
                yield from ((module, f"{node.module}.{alias.name}") for alias in node.names)


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")
