"""Coarse pictures for quick tests."""

import pytest

from tsp.report import style


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setitem(style.SETTINGS, "savefig.dpi", 40)
