"""Bundles: the same bytes from the same files, and nothing but files below the folder on the way out."""

import gzip
import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.bundle import MAX_BYTES, BundleFile, content_sha256, make_bundle, unpack
from rasen.errors import PipelineError, PlatformFailed, TrustError

FILES = [
    BundleFile(path="train.ipynb", data=b"{}"),
    BundleFile(path="lib/features.py", data=b"x = 1\n"),
    BundleFile(path="日本語 notes.txt", data="é".encode()),
    BundleFile(path="tool.sh", data=b"", executable=True),
    BundleFile(path="deep/" * 40 + "file.txt", data=b"long path"),
]


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as opened:
        for member, data in members:
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return target.getvalue()


def entry(name: str, **changes: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for attribute, value in changes.items():
        setattr(member, attribute, value)
    return member


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    unpack(make_bundle(FILES).data, tmp_path / "new")
    for file in FILES:
        path = tmp_path / "new" / file.path
        assert path.read_bytes() == file.data
        assert bool(path.stat().st_mode & stat.S_IXUSR) is file.executable
    assert sum(path.is_file() for path in (tmp_path / "new").rglob("*")) == len(FILES)


@given(order=st.permutations(FILES))
def test_the_order_of_files_makes_no_difference(order: list[BundleFile]) -> None:
    assert make_bundle(order) == make_bundle(FILES)


def test_every_difference_makes_another_bundle() -> None:
    bundles = [
        make_bundle([BundleFile(path="a", data=b"1")]),
        make_bundle([BundleFile(path="a", data=b"2")]),
        make_bundle([BundleFile(path="b", data=b"1")]),
        make_bundle([BundleFile(path="a", data=b"1", executable=True)]),
        make_bundle([]),
    ]
    assert len({bundle.sha256 for bundle in bundles}) == len(bundles)
    assert len({bundle.content_sha256 for bundle in bundles}) == len(bundles)


def test_the_content_digest_does_not_depend_on_compression() -> None:
    bundle = make_bundle(FILES)
    packed_otherwise = gzip.compress(gzip.decompress(bundle.data), compresslevel=1)
    assert packed_otherwise != bundle.data
    assert content_sha256(packed_otherwise) == content_sha256(bundle.data) == bundle.content_sha256
    assert content_sha256(b"no archive") is None
    assert content_sha256(bundle.data[:-20]) is None


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a//b", "./x", "a/..", "", "a\nb", "a\\b", ".git/config", "x" * 300]
)
def test_unusable_names_are_not_packed(path: str) -> None:
    with pytest.raises(PipelineError, match="rename it"):
        make_bundle([BundleFile(path=path, data=b"")])


def test_too_much_data_is_refused_with_the_largest_file() -> None:
    big = BundleFile(path="data.csv", data=bytes(MAX_BYTES + 1))
    with pytest.raises(PipelineError, match=r"largest is 'data\.csv'\. Load data into the warehouse"):
        make_bundle([*FILES, big])


EVIL: dict[str, Callable[[], bytes]] = {
    "climbs": lambda: archive((entry("good"), b"x"), (entry("../evil"), b"x")),
    "climbs inside": lambda: archive((entry("a/../../evil"), b"x")),
    "absolute": lambda: archive((entry("/evil"), b"x")),
    "symlink": lambda: archive((entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "hard link": lambda: archive((entry("link", type=tarfile.LNKTYPE, linkname="good"), b"")),
    "device": lambda: archive((entry("null", type=tarfile.CHRTYPE), b"")),
    "pipe": lambda: archive((entry("pipe", type=tarfile.FIFOTYPE), b"")),
    "folder": lambda: archive((entry("folder", type=tarfile.DIRTYPE), b"")),
    "link then file through it": lambda: archive(
        (entry("out", type=tarfile.SYMTYPE, linkname=".."), b""), (entry("out/evil"), b"x")
    ),
    "twice": lambda: archive((entry("a"), b"x"), (entry("a"), b"y")),
    "file then folder": lambda: archive((entry("a"), b"x"), (entry("a/b"), b"y")),
    "folder then file": lambda: archive((entry("a/b"), b"x"), (entry("a"), b"y")),
    "name in a pax header": lambda: archive((entry("x", pax_headers={"path": "../evil"}), b"x")),
    "git": lambda: archive((entry(".git/hooks/post-checkout"), b"x")),
    "bomb": lambda: archive((entry("zeros"), bytes(MAX_BYTES + 1))),
    "no archive": lambda: b"no archive",
    "empty": lambda: b"",
    "truncated": lambda: make_bundle(FILES).data[:-100],
    "damaged": lambda: make_bundle(FILES).data[:60] + b"\0" * 40 + make_bundle(FILES).data[100:],
}


@pytest.mark.parametrize("kind", EVIL)
def test_anything_else_is_refused_before_the_first_file_is_written(tmp_path: Path, kind: str) -> None:
    data = EVIL[kind]()
    target = tmp_path / "inner" / "target"
    with pytest.raises(TrustError, match="nothing was unpacked"):
        unpack(data, target)
    assert not target.exists()
    assert not list(tmp_path.rglob("*"))


def test_set_user_id_and_write_for_all_are_not_taken_over(tmp_path: Path) -> None:
    unpack(archive((entry("tool", mode=0o6777), b"x")), tmp_path / "new")
    mode = (tmp_path / "new" / "tool").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)


def test_only_an_empty_folder_is_a_target(tmp_path: Path) -> None:
    unpack(make_bundle(FILES).data, tmp_path)
    with pytest.raises(PlatformFailed, match="is not empty"):
        unpack(make_bundle(FILES).data, tmp_path)


def test_a_folder_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlatformFailed, match="cannot unpack a bundle"):
        unpack(make_bundle(FILES).data, tmp_path / "file" / "new")
