"""The error tree.

    DriftlineError
    ├── ConfigError        settings or arguments are wrong: refuse to start            exit 2
    ├── InputError         files given on the command line cannot be used              exit 2
    ├── InvalidRecord      one record can never be read: dead letter, never retried
    ├── Backpressure       no room now: the same record again later
    ├── TransientError     a server or disk is not there now: retry until the deadline exit 5
    │   └── StaleClaim     another process owns these offsets: discard and start anew
    └── InvariantBroken    what must hold does not: stop                               exit 70

Anomalies and missed thresholds are values (findings), never errors.
"""

from __future__ import annotations


class DriftlineError(Exception):
    """Root of all errors that Driftline raises on purpose; the message is one line for a person."""

    exit_code = 1


class ConfigError(DriftlineError):
    """Settings or arguments are wrong; names the file, the line and the key where there are any."""

    exit_code = 2


class InputError(DriftlineError):
    """A file or table given by the user cannot be used as it is."""

    exit_code = 2


class InvalidRecord(DriftlineError):
    """A record that can never be read; the message is its dead-letter reason and holds no payload value."""


class Backpressure(DriftlineError):
    """There is no room at the moment; the same record may be offered again."""


class TransientError(DriftlineError):
    """An outside thing failed in a way that may pass; callers retry until their deadline."""

    exit_code = 5


class StaleClaim(TransientError):
    """Offsets, a lease or an intent belong to somebody else by now; the whole cut must be discarded."""


class InvariantBroken(DriftlineError):
    """Something that must hold does not; the process stops instead of going on with wrong numbers."""

    exit_code = 70
