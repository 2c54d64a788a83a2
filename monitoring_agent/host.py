"""The machine that is looked at: its files, below a root that tests put elsewhere."""

import os
import pwd
import threading
import types

import psutil


class Host:
    """Reads the files of a machine. `root` is `/` in life, a frozen tree of /proc and /sys in tests."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")
        self._thread = threading.local()
        self._kept: dict[str, int] = {}  # descriptors of what `read_again` reads

    def path(self, name: str) -> str:
        """Where the machine's file `name` (absolute) is."""
        return self._root + name

    def read(self, name: str, errors: str = "replace") -> str:
        """The whole text of a file of /proc or /sys; bytes that are not UTF-8 are replaced. Raises OSError.

        With `surrogateescape` for `errors` they are kept, for names that have to be found again.

        Plain system calls: these small files are read every second, and a buffered file object costs more
        than the kernel takes to write the text.
        """
        descriptor = os.open(self._root + name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(descriptor, 65536):
                parts.append(part)
        finally:
            os.close(descriptor)
        self._thread.read = name
        return b"".join(parts).decode("utf-8", errors)

    def forget_reads(self) -> None:
        """What this thread reads from now on is about something else."""
        self._thread.read = ""

    def last_read(self) -> str:
        """The file that this thread read last: what a parser did not understand was in it. Empty if there is none."""
        name: str = getattr(self._thread, "read", "")
        return name

    def read_again(self, name: str) -> str:
        """The whole text of a file of /proc that is read all the time. Raises OSError. For one thread alone.

        It stays open, since opening and closing it costs more than having the kernel write the text, which it does
        anew whenever one reads from the start (seq_file.rst of the kernel).
        """
        self._thread.read = name
        kept = self._kept.get(name)
        if kept is not None:
            try:
                return _from_start(kept)
            except OSError:
                # Gone with a module of the kernel, perhaps to come again, or the server behind it was (lxcfs).
                os.close(self._kept.pop(name))
        descriptor = os.open(self._root + name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = _from_start(descriptor)
            if os.fstat(descriptor).st_size == 0:  # else it is on a disk, where another file may get its name
                self._kept[name] = descriptor
            return text
        finally:
            if self._kept.get(name) != descriptor:
                os.close(descriptor)

    def read_again_if_there(self, name: str) -> str | None:
        """The same of a file that this kernel may not have, or None."""
        try:
            return self.read_again(name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def close(self) -> None:
        """Close what `read_again` keeps open."""
        while self._kept:
            os.close(self._kept.popitem()[1])

    def read_if_there(self, name: str) -> str | None:
        """The text of a file that this kernel may not have, or None."""
        try:
            return self.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, name: str) -> bool:
        """Whether the machine has this file or directory."""
        return os.path.exists(self._root + name)

    def stat(self, name: str) -> os.stat_result | None:
        """What stat(2) says of a file, or None if there is none."""
        try:
            return os.stat(self._root + name)
        except OSError:
            return None

    def owner(self, pid: int) -> str:
        """The name of a process's owner, or the number if it has no name, or an empty text if the process ended."""
        status = self.stat(f"/proc/{pid}")
        if status is None:
            return ""
        try:
            return pwd.getpwuid(status.st_uid).pw_name
        except KeyError:
            return str(status.st_uid)

    def psutil(self) -> types.ModuleType:
        """psutil, looking at this machine's /proc."""
        psutil.PROCFS_PATH = self._root + "/proc"
        return psutil


def _from_start(descriptor: int) -> str:
    parts = [os.pread(descriptor, 16384, 0)]
    size = len(parts[0])
    while parts[-1]:
        parts.append(os.pread(descriptor, 16384, size))
        size += len(parts[-1])
    return b"".join(parts).decode("utf-8", "replace")
