"""No module needs, to be imported, what only POSIX systems have."""

import subprocess
import sys

import pytest

# Imports all modules, with what they need; hides what Windows has not; and imports our own modules again.
PROGRAM = """
import importlib, os, pkgutil, signal, socket, sys

package = importlib.import_module(sys.argv[1])
names = [package.__name__]
names += [one.name for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]

def load():
    for name in names:
        importlib.import_module(name)

load()
for name in [name for name in sys.modules if name.startswith("keraserve") and "proto." not in name]:
    del sys.modules[name]
for name in ("fcntl", "grp", "posix", "pwd", "resource", "termios", "tty", "uvloop"):
    sys.modules[name] = None
for module, hidden in {
    os: "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK fchmod fork geteuid getgid getloadavg getuid killpg nice"
    " posix_fadvise pread pwrite register_at_fork sched_getaffinity setsid statvfs sysconf uname",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGUSR1 SIGUSR2 pthread_sigmask setitimer",
    socket: "AF_UNIX SOCK_CLOEXEC SO_PEERCRED SO_REUSEPORT",
}.items():
    for name in hidden.split():
        delattr(module, name)
load()
print(len(names))
"""


@pytest.mark.parametrize(
    "package",
    [
        "keraserve",
        "keraserve_client",
        "keraserve_embedded",
        "keraserve_gateway",
        "keraserve_models",
        "keraserve_protocol",
        "keraserve_training",
    ],
)
def test_it_is_imported_without_what_only_posix_has(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, package], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1
