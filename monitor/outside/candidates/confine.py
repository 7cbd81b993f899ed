"""What a process may still do before it runs somebody else's model; changes with what the kernel can forbid.

Linux takes rights away from a process for good, without any of its own: limits of resources, and since 5.13 Landlock, by which
it reaches only named files (and since 6.7 no TCP port). Otherwise a process could read the environment of its user's others.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every processor (linux/landlock.h, landlock(7))."""
_RULE_PATH_BENEATH = 1
_VERSION = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
"""Rights that a rule about a single file may name; the last is to truncate."""
_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
"""All rights over files by version; ioctl on devices, of version 5, is left alone."""
_TCP = 0b11
_SCOPES = 0b11
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

_CAPABILITY_VERSION = 0x20080522

_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system", "/sys/fs/cgroup"),
    # Of other processes nothing: their environment is in there.
    *(
        "/proc/self",
        "/proc/cpuinfo",
        "/proc/filesystems",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/sys/vm",
        "/proc/sys/kernel",
    ),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use; the time is of all its threads together, the size of each file that it writes."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int
    open_files: int = 512


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def limit(limits: Limits) -> None:
    """Limit this process; who passes a limit fails to allocate, to write or to open, or is ended by a signal."""
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, which may have happened."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def confine(readable: Iterable[Path], writable: Path) -> bool:
    """Let this process read only Python, the system's libraries and `readable`, write only `writable`, and reach no TCP port.

    Returns whether the kernel does so; where it cannot, only root's rights are given up. Call this first: threads that run
    already are not confined.
    """
    libc = _libc()
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < 1:
        return False
    rights = _OF_VERSION[min(version, 3)]
    asked = _Ruleset(rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for path in (*map(Path, _SYSTEM), *_python(), *readable):
            _allow(libc, ruleset, path, _READ & rights)
        for path in _folders():
            _allow(libc, ruleset, path, _READ_DIR)
        for path in map(Path, _DEVICES):
            _allow(libc, ruleset, path, _READ_FILE | _WRITE_FILE)
        _allow(libc, ruleset, writable, rights)
        return bool(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Give up what root may do beyond its own files: some kernels (6.18) let it read other processes past Landlock."""
    header, none = _CapabilityHeader(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    libc.capset(ctypes.byref(header), ctypes.byref(none))


def _python() -> list[Path]:
    """Return where Python and its packages lie, and ours: not the whole folder that ours lie in, which may be a checkout."""
    ours = [Path(__file__).resolve().parents[2], Path(__file__).resolve().parents[3] / "collectors"]
    packages = [Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages", ".zip"))]
    return [Path(sys.prefix), Path(sys.base_prefix), *packages, *ours]


def _folders() -> list[Path]:
    """Return where Python looks for modules, and so must be able to list what there is."""
    return [Path(path) for path in sys.path if path]


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # What is not there needs no leave.
    try:
        allowed = rights if path.is_dir() else rights & _OF_FILES
        rule = _PathBeneath(allowed, descriptor)
        libc.syscall(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
