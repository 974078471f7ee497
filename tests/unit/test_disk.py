"""Files are whole or not there, and what the disk says is said in one sentence with its true cause."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from disks import fill, make_read_only, small_disk
from sensetrail.disk import (
    Journal,
    disk_error,
    new_folder,
    read_whole,
    require_room,
    room,
    temporary_folder,
    write_new,
    write_whole,
)
from sensetrail.errors import DiskError, DiskFullError, ReadOnlyError, WorkspaceError

BIG = bytes(1 << 18)


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", b"old")
    write_whole(tmp_path / "a.json", b"new")
    write_new(tmp_path / "sub/key.json", b"key", 0o600)
    with new_folder(tmp_path / "made") as partial:
        (partial / "inside").write_bytes(b"x")
    assert read_whole(tmp_path / "a.json", 3) == b"new"
    assert (tmp_path / "sub/key.json").stat().st_mode & 0o777 == 0o600
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a.json",
        "made",
        "made/inside",
        "sub",
        "sub/key.json",
    ]


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("there", "dangling"):
        if name == "there":
            (tmp_path / name).write_bytes(b"mine")
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"yours")
    assert (tmp_path / "there").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_of_many_that_make_the_same_file_at_once_one_does(tmp_path: Path) -> None:
    def make(number: int) -> bool:
        try:
            write_new(tmp_path / "key.json", bytes([number]) * 1000)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(64)))
    assert sum(made) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [bytes([made.index(True)]) * 1000]


def test_where_there_are_no_hard_links_a_new_file_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"2")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"1")]


def test_a_link_stays_a_link_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


WRITERS: dict[str, Callable[[Path], None]] = {
    "write_whole": lambda folder: write_whole(folder / "file", BIG),
    "write_new": lambda folder: write_new(folder / "new/file", BIG),
    "require_room": lambda folder: require_room(folder),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_called_full_and_keeps_what_it_had(tmp_path: Path, writer: str) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        write_whole(disk / "file", b"old")
        with pytest.raises(DiskFullError, match="is full") as caught:
            WRITERS[writer](disk)
        assert "free space" in caught.value.to_do
        assert ".part" not in caught.value.what
        assert [path.read_bytes() for path in disk.rglob("*") if path.is_file()] == [b"old"]
        with pytest.raises(DiskFullError, match="disk/made/file is full"), new_folder(disk / "made") as partial:
            write_whole(partial / "file", BIG)
        assert not (disk / "made").exists()


def test_a_disk_without_room_for_one_more_file_says_that_it_has_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 << 20, files=2) as disk:
        (disk / "one").touch()
        with pytest.raises(DiskFullError, match="has space, but holds as many files as it can"):
            write_whole(disk / "two", b"x")


def test_a_read_only_disk_is_called_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        write_whole(disk / "file", b"old")
        make_read_only(disk)
        for writer in WRITERS.values():
            with pytest.raises(ReadOnlyError, match="on a read-only disk"):
                writer(disk)
        assert read_whole(disk / "file", 3) == b"old"
        assert not room(disk).writable
        make_read_only(disk, read_only=False)
        assert room(disk / "not/there/yet").writable
        assert room(disk).total == 64 << 10


def in_a_child(code: str, folder: Path, **limits: int) -> str:
    """Run code with limits on its own process; give what it printed."""
    preamble = "from pathlib import Path\nfrom sensetrail.disk import *\nfrom sensetrail.errors import *\n"

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))

    command = [sys.executable, "-c", preamble + code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


TRY = """
import sys
try:
    write_whole(Path(sys.argv[1]) / "file", bytes(9999))
except DiskError as error:
    print(type(error).__name__, error.what, "/", error.to_do)
"""


def test_limits_of_the_process_are_named(tmp_path: Path) -> None:
    said = in_a_child(TRY, tmp_path, FSIZE=4096)
    assert said.startswith("DiskFullError")
    assert "larger than a limit" in said
    assert "ulimit -f" in said
    opened = "import os\nfor _ in range(64):\n    try: os.dup(0)\n    except OSError: break\n"
    said = in_a_child(opened + TRY, tmp_path, NOFILE=32)
    assert "too many files open" in said
    assert "ulimit -n" in said
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    for number in (signal.SIGKILL, signal.SIGINT):
        code = (
            "import sys, os\nwith replacing(Path(sys.argv[1]) / 'file') as partial:\n"
            f"    partial.write_bytes(b'half')\n    os.kill(os.getpid(), {int(number)})\n    import time; time.sleep(9)"
        )
        preamble = "from pathlib import Path\nfrom sensetrail.disk import *\n"
        done = subprocess.run([sys.executable, "-c", preamble + code, tmp_path], capture_output=True, check=False)
        assert done.returncode != 0
        assert (tmp_path / "file").read_bytes() == b"old"
        if number == signal.SIGINT:
            assert len([path for path in tmp_path.iterdir() if path.name != "file"]) == 1, "the killed one's alone"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    old = time.time() - 3600
    (tmp_path / f".{'a' * 16}.part").mkdir()
    (tmp_path / f".{'a' * 16}.part/inside").touch()
    (tmp_path / f".{'b' * 16}.part.json").touch()
    (tmp_path / f".{'c' * 16}.part.json").touch()
    (tmp_path / ".mine.part").touch()
    for name in (f".{'a' * 16}.part", f".{'b' * 16}.part.json", ".mine.part"):
        os.utime(tmp_path / name, (old, old))
    with new_folder(tmp_path / "made") as living:
        os.utime(living, (old, old))
        write_whole(tmp_path / "file", b"x")
        assert living.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".{'c' * 16}.part.json", ".mine.part", "file", "made"]


def strange(folder: Path) -> dict[str, tuple[Path, str]]:
    """Make what should not be where a file should be; give each with what is to be said of it."""
    (folder / "file").write_bytes(b"x")
    (folder / "folder").mkdir()
    (folder / "broken").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return {
        "missing": (folder / "missing", "there is no file"),
        "no folder": (folder / "no/such/file", "there is no folder"),
        "below a file": (folder / "file/below", "file is a file, not a folder"),
        "a folder": (folder / "folder", "is a folder, not a file"),
        "a broken link": (folder / "broken", "is a symbolic link to nowhere, which does not exist"),
        "below a broken link": (folder / "broken/file", "is a symbolic link to nowhere, which does not exist"),
        "a loop": (folder / "loop", "leads to itself"),
        "a pipe": (folder / "pipe", "is a pipe or a device"),
        "a device": (Path("/dev/zero"), "is a pipe or a device"),
        "a long name": (folder / ("x" * 300), "too long for the file system"),
        "too long a file": (folder / "file", "is longer than 0 bytes"),
    }


def test_what_cannot_be_read_is_named_and_nothing_hangs(tmp_path: Path) -> None:
    for name, (path, said) in strange(tmp_path).items():
        with pytest.raises(DiskError) as caught:
            read_whole(path, 0)
        assert said in caught.value.what, name
        assert caught.value.exit_code == 2


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    for name in ("no folder", "below a file", "a folder", "below a broken link", "a loop", "a pipe", "a long name"):
        folder = tmp_path / name
        folder.mkdir()
        path, said = strange(folder)[name]
        with pytest.raises(DiskError) as caught:
            write_whole(path, b"x")
        assert said in caught.value.what, name


def test_who_lacks_a_permission_is_told_which() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    code = (
        "import sys, os\nos.setuid(65534)\nroot = Path(sys.argv[1])\n"
        "for act in (lambda: read_whole(root / 'secret', 9), lambda: read_whole(root / 'closed/file', 9),\n"
        "            lambda: write_whole(root / 'new', b'x'), lambda: write_new(root / 'new', b'x')):\n"
        "    try: act()\n    except DiskError as e: print(type(e).__name__, e.what)\n"
    )
    # Not below pytest's own folders, which it closes to others whenever it starts.
    with TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "secret").write_bytes(b"x")
        (folder / "secret").chmod(0)
        (folder / "closed").mkdir(mode=0o700)
        said = in_a_child(code, folder).splitlines()
    assert said == [
        f"DiskError this user may not read {name}/secret",
        f"DiskError this user may not enter the folder {name}/closed",
        f"ReadOnlyError this user may not write to the folder {name}",
        f"ReadOnlyError this user may not write to the folder {name}",
    ]


def test_a_vanished_disk_is_not_taken_for_damage() -> None:
    for number in (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOTCONN):
        error = disk_error(OSError(number, os.strerror(number)), Path("/mnt/usb/index.sqlite"))
        assert "the disk of /mnt/usb/index.sqlite does not answer" in error.what
        assert "delete nothing" in error.to_do


def test_an_error_that_hides_its_number_in_its_text_is_understood() -> None:
    hdf5 = OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')")
    assert isinstance(disk_error(hdf5, Path("model.keras")), DiskFullError)
    assert "something odd" in disk_error(OSError("something odd"), Path("a")).what
    assert isinstance(disk_error(OSError(errno.ENOSPC, "No space left on device")), DiskFullError)


def test_temporary_files_without_room_name_their_folder_and_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        with pytest.raises(DiskFullError, match="temporary files: the disk of") as caught, temporary_folder() as folder:
            (folder / "big").write_bytes(BIG)
        assert "TMPDIR" in caught.value.to_do
        assert list(disk.iterdir()) == []
        make_read_only(disk)
        with pytest.raises(ReadOnlyError, match=r"temporary files: .* read-only disk"), temporary_folder():
            pass


def test_an_error_elsewhere_is_not_blamed_on_temporary_files(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"^there is no file"), temporary_folder():
        read_whole(tmp_path / "missing", 1)


def test_a_journal_keeps_whole_lines_through_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, "busy")
    journal.append("first")
    journal.append("second")
    journal.close()
    torn = path.read_bytes().replace(b"second\n", b"secon")
    path.write_bytes(torn)
    journal = Journal(path, "busy")
    assert journal.lines == ["first"]
    journal.append("2nd")
    journal.close()
    journal = Journal(path, "busy")
    assert journal.lines == ["first", "2nd"]
    with pytest.raises(WorkspaceError, match="another is at it"):
        Journal(path, "another is at it")
    journal.remove()
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_has_its_room_from_the_beginning(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        journal = Journal(disk / "journal", "busy")
        fill(disk)
        for number in range(40):
            journal.append(f"{number:099}")
        journal.release()
        journal.close()
        reopened = Journal(disk / "journal", "busy")
        assert len(reopened.lines) == 40
        reopened.close()


def test_a_journal_without_room_is_not_begun(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        fill(disk, leave=4096)
        with pytest.raises(DiskFullError):
            Journal(disk / "journal", "busy")
        assert [path.name for path in disk.iterdir()] == ["ballast"]
