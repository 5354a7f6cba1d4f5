"""`lrsearch gc`: removes what is no longer wanted."""

from typing import Annotated

import typer

from lrsearch.cli.console import out
from lrsearch.cli.db import usable_database
from lrsearch.cli.errors import extra
from lrsearch.cli.tables import plain_table
from lrsearch.report.text import size


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove files that nothing names, unfinished uploads, and what is kept no longer.

    How long things are kept is set by LRSEARCH_KEEP_…. The service does the same every ten minutes.
    """
    with extra("service"):
        from lrsearch.db.engine import Database
        from lrsearch.jobs.control import purge_deleted
        from lrsearch.search.ledger import Ledger
        from lrsearch.settings import Settings
        from lrsearch.upkeep.garbage import collect_garbage
    settings = Settings()
    database = Database(settings.database)
    try:
        with usable_database(settings):
            found = collect_garbage(database, settings, dry_run=dry_run)
            if not dry_run:
                ledger = Ledger(settings.ledger)
                purge_deleted(database, ledger)
                ledger.storage.engine.dispose()
    finally:
        database.dispose()
    table = plain_table("would be removed" if dry_run else "removed", "number>", "size>")
    for garbage in found:
        amount = "" if garbage.bytes is None else size(garbage.bytes)
        table.add_row(garbage.kind, str(garbage.number), amount)
    out.print(table)
