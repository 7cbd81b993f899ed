"""Who it is that gives a command; changes with how the system names people."""

from __future__ import annotations


def acting_user() -> str:
    """Return the name of the system's user, or `uid N` where it has none, as in a container with a user of its own."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return f"uid {os.getuid()}"
