"""A service to play with, on both databases."""

import pytest

from lrsearch.db.engine import Database
from lrsearch.settings import Settings
from tests.service.rig import Rig


@pytest.fixture
def rig(database: Database, settings: Settings) -> Rig:
    return Rig(database, settings)
