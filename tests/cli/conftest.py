import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory):
    """Leave the user's own cache alone."""
    before = os.environ.get("CS336_CACHE_DIR")
    os.environ["CS336_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("CS336_CACHE_DIR")
    if before is not None:
        os.environ["CS336_CACHE_DIR"] = before
