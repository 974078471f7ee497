"""Files and disks: whole files or none, and each failure named by its true cause."""

from sensetrail.disk.causes import disk_error, explained
from sensetrail.disk.files import (
    make_folder,
    new_folder,
    read_whole,
    replacing,
    require_regular,
    require_room,
    temporary_folder,
    write_new,
    write_whole,
)
from sensetrail.disk.journal import Journal
from sensetrail.disk.room import Room, is_writable, room
from sensetrail.disk.sqlite import sqlite_error

__all__ = [
    "Journal",
    "Room",
    "disk_error",
    "explained",
    "is_writable",
    "make_folder",
    "new_folder",
    "read_whole",
    "replacing",
    "require_regular",
    "require_room",
    "room",
    "sqlite_error",
    "temporary_folder",
    "write_new",
    "write_whole",
]
