"""A network namespace of their own for the tests: loopback is there, and no way leads out.

`cut_off()` moves the calling process into one, and with it whatever it starts from then on: servers, browsers, jobs.
"""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x40000000, 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def cut_off() -> str:
    """Leave the network; return why that can't be done here, or "". Call it before threads are started."""
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            _unshare(CLONE_NEWNET)
        else:
            _unshare(CLONE_NEWUSER | CLONE_NEWNET)  # who makes a user namespace may make one of the network below it
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        raise_loopback()
    except (OSError, AttributeError) as error:  # AttributeError: a system without unshare
        return str(error)
    return ""


def raise_loopback() -> None:
    """`ip link set lo up`, where there is no `ip`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", asked)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def reaches_outside() -> bool:
    """Whether any way leads out of this namespace. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 53))
        except OSError:
            return False
    return True


def _unshare(flags: int) -> None:
    """`os.unshare`, which Python 3.11 lacks."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")


def enter_with_small_shm(size: int) -> str:
    """Give the calling process a /dev/shm of `size` bytes; return why that can't be done here, or ""."""
    try:
        if os.geteuid() == 0:
            _unshare(CLONE_NEWNS)
        else:
            user, group = os.geteuid(), os.getegid()
            _unshare(CLONE_NEWUSER | CLONE_NEWNS)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _mount("none", "/", None, MS_REC | MS_PRIVATE, None)
        _mount("tmpfs", "/dev/shm", "tmpfs", 0, f"size={size}")
    except (OSError, AttributeError) as error:
        return str(error)
    return ""


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]):
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}")
