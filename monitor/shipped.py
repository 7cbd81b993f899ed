"""Where the data files that come with Driftline lie: changes when packaging does."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def shipped(folder: str) -> Traversable:
    """Return the folder `dashboards` or `alert_rules`: inside an installed wheel, or of the checkout.

    Raises:
        FileNotFoundError: the distribution was built without it.
    """
    package = files("monitor")
    for place in (package.joinpath("_data", folder), package.joinpath("..", folder)):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"this installation of Driftline has no {folder}; install the wheel anew")
