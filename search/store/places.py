"""Where a study's history lies: a SQLite file in its folder, or another database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from search.errors import StudyError
from search.files import write_text

HISTORY = "history.db"
URL_FILE = "storage.url"
STORAGE_VARIABLE = "SEARCH_STORAGE"
"""Environment variable with a full storage URL, for passwords that no file should hold."""

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs"}
    | {"afs", "9p", "orangefs", "pvfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"}
    | {"fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.juicefs", "fuse.beegfs"}
)


@dataclass(frozen=True)
class HistoryPlace:
    """Where a history lies: a SQLite file (``path``) or another database (``url``).

    Args:
        path: the SQLite file, or ``None``.
        url: the SQLAlchemy URL, or ``None``.
        name: the Optuna study's name where it is known.
        identity: what the study must say of itself, lest another of that name be taken for it.
    """

    path: Path | None
    url: str | None
    name: str | None = None
    identity: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.url is None else without_password(self.url)


def without_password(url: str) -> str:
    """A storage URL as it may be written down: with its password left out."""
    try:
        parsed = sa.engine.make_url(url)
    except (SQLAlchemyError, ValueError):
        return url
    bare = sa.URL.create(
        parsed.drivername, parsed.username, None, parsed.host, parsed.port, parsed.database,
        parsed.query,
    ).difference_update_query(["password", "passwd", "sslpassword"])  # fmt: skip
    return bare.render_as_string(hide_password=False)


def find_place(folder: Path, storage: str | None) -> HistoryPlace:
    """Where ``folder``'s history lies: as told, as the environment says, as remembered.

    Raises:
        StudyError: where ``storage`` is no SQLAlchemy URL, or what the folder remembers cannot
            be read.
    """
    remembered = name = identity = None
    file = folder / URL_FILE
    if file.is_file():
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{file}: cannot be read ({error}); restore it from a copy") from None
        remembered, name, identity = (*lines, None, None, None)[:3]
        remembered = os.environ.get(STORAGE_VARIABLE) or remembered
    url = storage or remembered
    if not url:
        return HistoryPlace(folder / HISTORY, None, None)
    try:
        parsed = sa.engine.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise StudyError(
            f"storage {url!r} is no database URL; write it like "
            "postgresql+psycopg://user@host/database"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StudyError(f"storage {url!r} names no file; a history in memory would be lost")
        return HistoryPlace(Path(parsed.database).absolute(), url, name, identity)
    return HistoryPlace(None, url, name, identity)


def existing_place(folder: Path, storage: str | None) -> HistoryPlace:
    """Where the history of the study in ``folder`` lies.

    Raises:
        StudyError: where there is no study in ``folder``, or its history is elsewhere.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder}: there is no such study folder")
    place = find_place(folder, storage)
    own = folder / HISTORY
    elsewhere = place.url is not None and place.path != own.absolute()
    if elsewhere and own.is_file() and not (folder / URL_FILE).exists():
        raise StudyError(
            f"--storage {place}: the history of this study is {own}; leave --storage out"
        )
    if place.path is not None and not place.path.is_file():
        raise StudyError(f"{folder}: holds no study ({place.path.name} is missing)")
    if place.path is not None and place.path.stat().st_size == 0:
        raise StudyError(f"{place.path}: is empty; restore it from a copy, or start a new study")
    return place


def remember(folder: Path, place: HistoryPlace) -> None:
    """Write to the folder a database's URL without its password, and which study is meant."""
    if place.url is not None:
        lines = (without_password(place.url), place.name, place.identity)
        write_text(folder / URL_FILE, "".join(f"{line}\n" for line in lines if line))


def file_system(path: Path, mounts: str | None = None) -> str | None:
    """The type of the file system that ``path`` lies on (``"ext4"``, ``"nfs4"``).

    ``None`` where the system does not say (no ``/proc``). ``mounts`` is the text of
    ``/proc/self/mountinfo``, read when not given.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    resolved = path.resolve()
    best: tuple[int, str] | None = None
    for line in mounts.splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if len(fields) < 5 or not kind:
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        if resolved.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), kind[0])
    return best[1] if best else None


def check_local(path: Path) -> None:
    """Refuse a SQLite history on a network file system.

    Raises:
        StudyError: with the way out. A write-ahead log needs shared memory between all
            who open the file, which no network file system has.
    """
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StudyError(
            f"{path}: a SQLite history does not work on a network file system ({kind}); choose a "
            "folder on a local disk, or give a PostgreSQL database: "
            "--storage postgresql+psycopg://user@host/database"
        )
