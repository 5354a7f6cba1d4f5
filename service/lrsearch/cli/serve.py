"""`lrsearch serve`: the service alone."""

import sys
from typing import Annotated, Any

import typer

from lrsearch.cli.errors import extra


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
) -> None:
    """Start the service alone; settings come from LRSEARCH_…, options go before them."""
    with extra("service"):
        import uvicorn

        from lrsearch.api.app import create_app, prepare
        from lrsearch.logs import configure_logs
        from lrsearch.settings import Settings
    configure_logs(sys.stderr)
    given: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    prepare(settings)  # what is wrong is said in a sentence here, and in a traceback by the server
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
