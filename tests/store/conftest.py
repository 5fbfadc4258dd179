"""Every test of the store runs on SQLite and on a PostgreSQL server of its own."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import FEATURES, FINDINGS, IDENTITY

from napari_rsna_inpaint.store import Store, open_store


def pg_program(name: str) -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders)]))


def other_user() -> list[str]:
    """Start of a command line that runs the rest as somebody else: root may not run a server."""
    if os.geteuid() != 0:
        return []
    import pwd

    names = {user.pw_name for user in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    entry = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """Folder of the socket of a fresh server."""
    initdb, pg_ctl = pg_program("initdb"), pg_program("pg_ctl")
    if not initdb or not pg_ctl:
        pytest.skip("no PostgreSQL server here: initdb and pg_ctl not found")
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("a PostgreSQL server does not run as root, and setpriv is not there")
    as_user = other_user()
    # a socket needs a short path
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if as_user:
        shutil.chown(folder, int(as_user[1].partition("=")[2]), int(as_user[2].partition("=")[2]))
    data, log = str(folder / "data"), str(folder / "log")

    def run(*command: str) -> None:
        subprocess.run(
            [*as_user, *command], cwd=folder, check=True, capture_output=True, timeout=60
        )

    run(initdb, "-D", data, "-U", "reader", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=16MB"
    run(pg_ctl, "-D", data, "-l", log, "-w", "-o", options, "start")
    try:
        yield str(folder)
    finally:
        run(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def pg_place(pg_server: str) -> str:
    """URL of an empty schema."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"host={pg_server} user=reader dbname=postgres") as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"postgresql://reader@/postgres?host={pg_server}&options=-csearch_path%3D{name}"


@pytest.fixture
def sqlite_place(tmp_path: Path) -> str:
    return str(tmp_path / "store" / "verdicts.sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("sqlite_place" if request.param == "sqlite" else "pg_place")


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> str:
    study = store.put_study(IDENTITY)
    return store.put_run(study, {"protocol": "fast"}, FINDINGS, None, FEATURES)
