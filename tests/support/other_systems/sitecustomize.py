"""Windows or macOS, as far as Linux can play them: Python imports this at its start where PYTHONPATH names its folder.

VQA_TEST_SYSTEM=windows or macos. The workbench's own modules, and only they, see modules without what the system does
not have: no fcntl, no os.fork, no signal.SIGKILL, no /proc, another sys.platform. What the system does otherwise holds
for all: links that are refused, files that can't be replaced while they are open, children that inherit nothing,
workers that are spawned. psutil and filelock, which have a way of their own for each system, go Linux's way.

What this cannot show: Windows's paths and its console, and whether those libraries keep their word.
"""

import builtins
import errno
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

SYSTEM = os.environ["VQA_TEST_SYSTEM"]
ROOT = str(Path(__file__).resolve().parents[3]) + os.sep
LIBRARIES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "lib", "other_systems"))

ABSENT = {"windows": {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}, "macos": set()}
HIDDEN = {
    "windows": {
        "os": {
            *("chown", "copy_file_range", "fchmod", "fchown", "fdatasync", "fork", "forkpty", "fwalk", "getegid"),
            *("geteuid", "getgid", "getloadavg", "getpgid", "getpgrp", "getpriority", "getsid", "getuid", "killpg"),
            *("lchown", "memfd_create", "mkfifo", "mknod", "nice", "pidfd_open", "pread", "pwrite", "pathconf"),
            *("posix_fadvise", "posix_fallocate", "sched_getaffinity", "sched_setaffinity", "sched_yield", "sendfile"),
            *("setpgid", "setpriority", "setsid", "setuid", "statvfs", "fstatvfs", "sync", "sysconf", "uname", "wait"),
            *("wait3", "wait4", "waitid", "register_at_fork", "get_blocking", "ctermid", "openpty", "confstr"),
            *("O_ASYNC", "O_CLOEXEC", "O_DIRECT", "O_DIRECTORY", "O_DSYNC", "O_NOATIME", "O_NOCTTY", "O_NOFOLLOW"),
            *("O_NONBLOCK", "O_PATH", "O_SYNC", "O_TMPFILE", "WNOHANG", "WUNTRACED", "SCHED_OTHER", "PRIO_PROCESS"),
        },
        "signal": {
            *("SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGHUP", "SIGIO", "SIGKILL", "SIGPIPE", "SIGPROF"),
            *("SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMIN", "SIGSTOP", "SIGSYS", "SIGTRAP", "SIGTSTP", "SIGTTIN"),
            *("SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "alarm"),
            *(
                "pause",
                "pidfd_send_signal",
                "pthread_kill",
                "pthread_sigmask",
                "setitimer",
                "siginterrupt",
                "sigpending",
            ),
            *("sigtimedwait", "sigwait", "sigwaitinfo", "getitimer", "ITIMER_REAL", "SIG_BLOCK"),
        },
        "time": {"clock_gettime", "clock_settime", "tzset", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC"},
        "multiprocessing.reduction": {"DupFd", "sendfds", "recvfds"},
        "socket": {"AF_UNIX", "SO_REUSEPORT", "MSG_DONTWAIT"},
        "mmap": {"PROT_READ", "PROT_WRITE", "MAP_SHARED", "MAP_PRIVATE", "MAP_ANONYMOUS"},
    },
    "macos": {
        "os": {
            *("copy_file_range", "fdatasync", "memfd_create", "pidfd_open", "posix_fadvise", "posix_fallocate"),
            *("sched_getaffinity", "sched_setaffinity", "O_DIRECT", "O_NOATIME", "O_PATH", "O_TMPFILE"),
        },
        "signal": {"pidfd_send_signal", "sigtimedwait", "sigwaitinfo", "SIGCLD", "SIGPWR", "SIGRTMIN", "SIGRTMAX"},
        "time": {"CLOCK_BOOTTIME"},
    },
}[SYSTEM]
CTRL_BREAK = 1001  # stands for itself: no signal of Linux has the number


def is_ours(names: dict[str, object] | None) -> bool:
    """Whether code with these global names is the workbench's own."""
    file = str((names or {}).get("__file__") or "")
    return file.startswith(ROOT) and not any(part in file[len(ROOT) - 1 :] for part in LIBRARIES)


def asked_by_us() -> bool:
    """Whether the workbench's own code asked, perhaps by way of pathlib."""
    frame = sys._getframe(2)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in ("pathlib", "os"):
        frame = frame.f_back
    return frame is not None and is_ours(frame.f_globals)


class Face(types.ModuleType):
    """A module as the system has it."""

    def __init__(self, real: types.ModuleType, **others: object) -> None:
        super().__init__(real.__name__)
        for name, value in (("_real", real), ("_others", others), ("_hidden", HIDDEN.get(real.__name__, set()))):
            super().__setattr__(name, value)

    def __getattribute__(self, name: str) -> object:
        if name in ("_real", "_others", "_hidden", "__class__"):
            return super().__getattribute__(name)
        if name in self._others:
            return self._others[name]
        if name in self._hidden:
            raise AttributeError(f"module {self._real.__name__!r} has no attribute {name!r} on {SYSTEM}")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._real, name)

    def __dir__(self) -> list[str]:
        return sorted((set(dir(self._real)) | set(self._others)) - self._hidden)


def open_files() -> set[str]:
    """The files that this process has open or mapped into its memory."""
    found = set()
    for handle in real_listdir("/proc/self/fd"):
        try:
            found.add(real_readlink(f"/proc/self/fd/{handle}"))
        except OSError:
            continue
    with real_open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        found.update(line.rstrip("\n").split(maxsplit=5)[5] for line in maps if line.count(" ") > 5 and "/" in line)
    return {name for name in found if name.startswith("/")}


def refuse_open(*paths: object) -> None:
    """Windows moves, replaces and removes no file that is open, and no folder that has an open one."""
    now = open_files()
    for path in paths:
        place = os.path.realpath(os.fsdecode(path))
        if place in now or any(name.startswith(f"{place}/") for name in now):
            raise PermissionError(errno.EACCES, "The process cannot access the file because it is being used", place)


def rename(source: object, target: object, **how: object) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", os.fsdecode(target))
    refuse_open(source)
    real_rename(source, target, **how)


def replace(source: object, target: object, **how: object) -> None:
    if os.path.isdir(target):
        raise PermissionError(errno.EACCES, "Access is denied", os.fsdecode(target))
    refuse_open(source, target)
    real_replace(source, target, **how)


def unlink(path: object, **how: object) -> None:
    if not how.get("dir_fd") and sys._getframe(1).f_globals.get("__name__") not in ("tempfile", "multiprocessing.util"):
        refuse_open(path)
    real_unlink(path, **how)


def symlink(source: object, *_: object, **__: object) -> None:
    error = OSError(errno.EINVAL, "A required privilege is not held by the client", os.fsdecode(source))
    error.winerror = 1314  # type: ignore[attr-defined]
    raise error


def open_handle(path: object, flags: int, *args: object, **how: object) -> int:
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", os.fsdecode(path))
    return real_os_open(path, flags, *args, **how)


def fsync(handle: int) -> None:
    import fcntl

    if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    real_fsync(handle)


def kill(pid: int, number: int) -> None:
    """Ctrl-Break goes to all of a group; any other signal ends the process."""
    if number == CTRL_BREAK:
        os.killpg(pid, signal.SIGUSR2)
    else:
        os.kill(pid, signal.SIGKILL)


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """A process as Windows starts it."""

    def __init__(self, *args: object, pass_fds: object = (), preexec_fn: object = None, **how: object) -> None:
        if preexec_fn is not None:
            raise ValueError("preexec_fn is not supported on Windows platforms")
        assert not pass_fds, "pass_fds not supported on Windows."
        flags = int(how.pop("creationflags", 0))  # type: ignore[call-overload]
        how["start_new_session"] = bool(flags & 0x08000008)
        how["process_group"] = 0 if flags == 0x200 else None
        super().__init__(*args, **how)  # type: ignore[arg-type]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            kill(self.pid, number)

    def terminate(self) -> None:
        self.kill()


class Open:
    """`open`; not a function, which would become a method of a class that has it as an attribute."""

    def __call__(self, file: object, *args: object, **how: object) -> object:
        if isinstance(file, str | os.PathLike) and os.fspath(file).startswith("/proc") and asked_by_us():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", os.fspath(file))
        return real_open(file, *args, **how)  # type: ignore[call-overload]


def readlink(path: object, **how: object) -> object:
    if os.fsdecode(path).startswith("/proc") and asked_by_us():  # type: ignore[arg-type]
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", os.fsdecode(path))  # type: ignore[arg-type]
    return real_readlink(path, **how)  # type: ignore[arg-type]


def imported(
    name: str,
    globals: dict[str, object] | None = None,
    locals: object = None,
    fromlist: tuple[str, ...] = (),
    level: int = 0,
) -> object:
    """`__import__`, which gives our modules the faces."""
    found = real_import(name, globals, locals, fromlist, level)
    if level or not is_ours(globals):
        return found
    if name.partition(".")[0] in ABSENT[SYSTEM]:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    if SYSTEM == "macos" and name == "psutil" and hasattr(found.Process, "cpu_affinity"):
        del found.Process.cpu_affinity
    real = getattr(found, "__name__", "")
    if real in HIDDEN and real not in faces:
        faces[real] = Face(found)
    return faces.get(real, found)


real_import, real_open, real_os_open, real_fsync = builtins.__import__, io.open, os.open, os.fsync
real_rename, real_replace, real_unlink = os.rename, os.replace, os.unlink
real_listdir, real_readlink = os.listdir, os.readlink

faces = {"sys": Face(sys, platform="win32" if SYSTEM == "windows" else "darwin")}
if SYSTEM == "windows":
    os.rename, os.replace, os.symlink = rename, replace, symlink
    os.unlink = os.remove = unlink
    faces |= {
        "os": Face(os, name="nt", kill=kill, open=open_handle, fsync=fsync, O_BINARY=0, readlink=readlink),
        "signal": Face(signal, SIGBREAK=signal.SIGUSR2, CTRL_BREAK_EVENT=CTRL_BREAK, CTRL_C_EVENT=1000),
        "subprocess": Face(
            subprocess, Popen=Popen, CREATE_NEW_PROCESS_GROUP=0x200, CREATE_NO_WINDOW=0x08000000, DETACHED_PROCESS=8
        ),
    }
else:
    faces |= {"os": Face(os, readlink=readlink), "signal": Face(signal)}
builtins.__import__ = imported
builtins.open = io.open = Open()  # type: ignore[assignment]
multiprocessing.set_start_method("spawn")
