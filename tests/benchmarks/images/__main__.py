"""`python -m tests.benchmarks.images`: real images from packages into image folders."""

from pathlib import Path
from typing import Annotated

import typer

from tests.benchmarks.images.clipart import CLIPART
from tests.benchmarks.images.cutouts import CUTOUTS
from tests.benchmarks.images.digits import DIGITS
from tests.benchmarks.images.emoji import EMOJI
from tests.benchmarks.images.folders import write
from tests.benchmarks.images.font_digits import FONT_DIGITS
from tests.benchmarks.images.garments import GARMENTS
from tests.benchmarks.images.letters import LETTERS
from tests.benchmarks.images.mixes import MIXES, write_mix
from tests.benchmarks.images.packages import Packages
from tests.benchmarks.images.sample import write_sample
from tests.benchmarks.images.scripts import SCRIPTS
from tests.benchmarks.images.silhouettes import SILHOUETTES
from tests.benchmarks.images.small_digits import SMALL_DIGITS

_DOMAINS = {
    domain.name: domain
    for domain in (
        LETTERS,
        EMOJI,
        GARMENTS,
        CLIPART,
        SILHOUETTES,
        DIGITS,
        SCRIPTS,
        FONT_DIGITS,
        SMALL_DIGITS,
        CUTOUTS,
    )
}

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def fetch(
    out: Annotated[Path, typer.Argument(help="Folder for the image folders, one a domain.")],
    domains: Annotated[
        str, typer.Option(help="Comma-separated names; all there are by default.")
    ] = ",".join(_DOMAINS),
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the packages; OUT/.packages by default.")
    ] = None,
) -> None:
    """Fetch packages and write OUT/DOMAIN/LABEL/FILE.png; domains already there stay."""
    names = domains.split(",")
    if unknown := set(names) - set(_DOMAINS):
        raise typer.BadParameter(
            f"no such domain: {', '.join(sorted(unknown))}; there are {', '.join(_DOMAINS)}"
        )
    packages = Packages((cache or out / ".packages").resolve())
    for name in names:
        if (out / name).exists():
            print(f"{name}: already there")
            continue
        domain = _DOMAINS[name]
        written = write(out / name, domain, domain.pictures(packages))
        print(
            f"{name}: {written.images} images, {written.labels} labels, {written.groups} groups "
            f"({written.repeated} repeated images left out)",
            flush=True,
        )


@app.command()
def mix(
    out: Annotated[Path, typer.Argument(help="Folder that `fetch` wrote.")],
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(MIXES)}.")],
) -> None:
    """Write OUT/NAME: what a shipped source model is trained on."""
    if name not in MIXES:
        raise typer.BadParameter(f"no such mix: {name}; there are {', '.join(MIXES)}")
    print(f"{name}: {write_mix(out, name)} images")


@app.command()
def sample(
    out: Annotated[Path, typer.Argument(help="Folder that `fetch` wrote.")],
    archive: Annotated[Path, typer.Argument(help="The ZIP file to write.")],
) -> None:
    """Write the shipped target data set, a part of the silhouettes, as a ZIP file."""
    print(f"{archive.name}: {write_sample(out / SILHOUETTES.name, archive)} images")


if __name__ == "__main__":
    app()
