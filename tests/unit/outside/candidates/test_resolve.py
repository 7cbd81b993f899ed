"""Where a candidate may lie: whatever a trainer reports, only what is below the configured folder is found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError, InputError, TransientError
from monitor.outside.candidates import resolve
from monitor.outside.candidates.resolve import Candidate, resolved

MIB = 1 << 20


def saved_model(folder: Path, content: bytes = b"graph") -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(content)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`candidates` beside secrets, in the working folder; it holds flights/42, a SavedModel."""
    monkeypatch.chdir(tmp_path)
    saved_model(tmp_path / "candidates" / "flights" / "42")
    saved_model(tmp_path / "secrets" / "1")
    saved_model(tmp_path / "candidates-old" / "1")
    return tmp_path / "candidates"


def found(candidates: str, uri: object, version: object = "42", most_bytes: int = MIB) -> Candidate:
    with resolved(candidates, {"uri": uri, "version": version}, most_bytes) as candidate:
        assert (candidate.folder / "saved_model.pb").is_file()
        return candidate


@pytest.mark.parametrize(
    ("candidates", "uri"),
    [
        pytest.param("file:candidates", "flights/42", id="a path below"),
        pytest.param("file:candidates", "flights/42/", id="with a slash at its end"),
        pytest.param("candidates", "flights/42", id="below a path"),
        pytest.param("file:candidates", "file:candidates/flights/42", id="a URI that begins as the configured one"),
        pytest.param("candidates", "candidates/flights/42", id="a path that begins as the configured one"),
        pytest.param("file:candidates", "{root}/flights/42", id="an absolute path"),
        pytest.param("file:candidates", "file://{root}/flights/42", id="an absolute URI"),
        pytest.param("file://{root}", "flights/42", id="below an absolute URI"),
        pytest.param("file:candidates", "file:candidates/fl%69ghts/42", id="a URI with an escaped letter"),
        pytest.param("file:candidates", "flights", id="the folder above, which has one named for the version"),
    ],
)
def test_a_candidate_is_found_by(candidates: str, uri: str, root: Path) -> None:
    candidate = found(candidates.format(root=root), uri.format(root=root))
    assert candidate.folder == root / "flights" / "42"
    assert (candidate.place, candidate.files, candidate.size_bytes) == ("flights/42", 2, 10)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param("../secrets/1", "without `.`, `..`", id="a way up"),
        pytest.param("flights/../../secrets/1", "without `.`, `..`", id="a way up from below"),
        pytest.param("candidates/../secrets/1", "without `.`, `..`", id="a way up behind the right beginning"),
        pytest.param("file:candidates/%2e%2e/secrets/1", "without `.`, `..`", id="an escaped way up"),
        pytest.param("file:candidates%2f..%2fsecrets/1", "without `.`, `..`", id="escaped slashes"),
        pytest.param("flights//42", "without `.`, `..`", id="an empty name"),
        pytest.param("./flights/42", "without `.`, `..`", id="a dot"),
        pytest.param("candidates/", "without `.`, `..`", id="the folder of candidates itself"),
        pytest.param("/etc", "lies outside", id="an absolute path elsewhere"),
        pytest.param("{root}-old/1", "lies outside", id="a folder whose name begins the same"),
        pytest.param("file:///etc", "lies outside", id="an absolute URI elsewhere"),
        pytest.param("file:secrets/1", "lies outside", id="a relative URI elsewhere"),
        pytest.param("http://169.254.169.254/latest", "lies outside", id="an address of the network"),
        pytest.param("s3://bucket/flights/42", "lies outside", id="a bucket"),
        pytest.param("github://org:repo@/flights", "lies outside", id="another of fsspec's kinds"),
        pytest.param("simplecache::file:candidates/flights/42", "lies outside", id="a chain of fsspec's"),
        pytest.param("flights/42\x00", "characters", id="a zero byte"),
        pytest.param("flights\n/42", "characters", id="a line break"),
        pytest.param("file:candidates/flights%0a/42", "characters", id="an escaped line break"),
        pytest.param("..\\secrets\\1", "characters", id="backslashes"),
        pytest.param("", "no `uri`", id="nothing"),
        pytest.param("a" * 1025, "no `uri`", id="a very long one"),
        pytest.param(["flights", "42"], "no `uri`", id="a list"),
        pytest.param(None, "no `uri`", id="null"),
        pytest.param("flights/43", "is not there", id="a folder that is not there"),
        pytest.param("flights/42/saved_model.pb", "is no folder", id="a file"),
        pytest.param("flights/42/variables", "no saved_model.pb", id="a folder that is no SavedModel"),
    ],
)
def test_a_report_is_refused_with(uri: object, said: str, root: Path) -> None:
    with pytest.raises(InputError) as refused:
        found("file:candidates", uri.format(root=root) if isinstance(uri, str) else uri)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert "secrets" not in str(refused.value)


@pytest.mark.parametrize("version", ["", "..", "4/2", "4..2", "-1", "4 2", "v" * 101, None, 42, "42\n", "４２"])
def test_a_version_that_is_no_plain_name_is_refused(version: object, root: Path) -> None:
    with pytest.raises(InputError, match="has no version of letters"):
        found("file:candidates", "flights/42", version)


def link_file(root: Path) -> None:
    (root / "flights" / "42" / "assets").symlink_to(root.parent / "secrets" / "1" / "saved_model.pb")


def link_folder(root: Path) -> None:
    (root / "flights" / "42" / "assets").symlink_to(root.parent / "secrets")


def link_sideways(root: Path) -> None:
    saved_model(root / "other" / "1")
    (root / "flights" / "42" / "assets").symlink_to(root / "other" / "1" / "saved_model.pb")


def link_nowhere(root: Path) -> None:
    (root / "flights" / "42" / "assets").symlink_to(root / "gone")


def link_candidate(root: Path) -> None:
    (root / "flights" / "42").rename(root / "moved")
    (root / "flights" / "42").symlink_to(root.parent / "secrets" / "1")


def link_above(root: Path) -> None:
    (root / "flights").rename(root / "moved")
    (root / "flights").symlink_to(root.parent / "secrets")
    (root.parent / "secrets" / "1").rename(root.parent / "secrets" / "42")


def link_to_itself(root: Path) -> None:
    (root / "flights" / "42").rename(root / "moved")
    (root / "flights" / "42").symlink_to("42")


def pipe(root: Path) -> None:
    os.mkfifo(root / "flights" / "42" / "assets")


def linked_model(root: Path) -> None:
    target = root / "flights" / "42" / "saved_model.pb"
    target.unlink()
    target.symlink_to(root.parent / "secrets" / "1" / "saved_model.pb")


@pytest.mark.parametrize(
    "make",
    [
        link_file, link_folder, link_sideways, link_nowhere, link_candidate, link_above, link_to_itself, pipe, linked_model,
    ],
)  # fmt: skip
def test_what_leads_out_of_the_candidate_is_refused(make: Callable[[Path], None], root: Path) -> None:
    make(root)
    with pytest.raises(InputError) as refused:
        found("file:candidates", "flights/42")
    assert "secrets" not in str(refused.value)


def test_links_within_the_candidates_are_followed(root: Path) -> None:
    (root / "flights" / "latest").symlink_to("42")
    (root / "flights" / "42" / "again.pb").symlink_to("saved_model.pb")
    assert found("file:candidates", "flights/latest").folder == root / "flights" / "42"


def test_a_candidate_that_is_too_large_is_refused(root: Path) -> None:
    (root / "flights" / "42" / "assets").write_bytes(b"0" * (MIB - 10))
    assert found("file:candidates", "flights/42").size_bytes == MIB
    with pytest.raises(InputError, match="larger than 1 MiB"):
        found("file:candidates", "flights/42", most_bytes=MIB - 1)


def test_a_candidate_of_too_many_files_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "MOST_FILES", 1)
    with pytest.raises(InputError, match="more than 1 files"):
        found("file:candidates", "flights/42")


def test_the_digest_tells_any_change(root: Path) -> None:
    before = found("file:candidates", "flights/42").digest
    assert found("file:candidates", "flights/42").digest == before
    (root / "flights" / "42" / "variables" / "variables.index").write_bytes(b"indey")
    assert found("file:candidates", "flights/42").digest != before


def test_a_missing_folder_of_candidates_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="candidates: cannot be read"):
        found(f"file:{tmp_path}/none", "flights/42")


@given(
    st.lists(
        st.sampled_from(["..", ".", "", "flights", "42", "%2e%2e", "%2f", "/", "file:", "candidates", "secrets", "1"])
    )
)
def test_whatever_is_reported_nothing_outside_is_ever_found(parts: list[str]) -> None:
    # Within one folder for all examples, as Hypothesis wants it.
    for uri in ("/".join(parts), "".join(parts)):
        try:
            names = resolve.below("file:candidates", uri)
        except InputError:
            continue
        assert names
        assert not {"", ".", ".."} & set(names)


@pytest.fixture
def bucket() -> Iterator[str]:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/bucket/candidates/flights/42/saved_model.pb", b"graph")
    filesystem.pipe("/bucket/candidates/flights/42/variables/variables.index", b"index")
    filesystem.pipe("/bucket/secrets/saved_model.pb", b"graph")
    yield "memory://bucket/candidates"
    filesystem.rm("/bucket", recursive=True)


@pytest.mark.parametrize("uri", ["flights/42", "memory://bucket/candidates/flights/42", "flights"])
def test_a_candidate_elsewhere_is_fetched_and_its_copy_deleted(uri: str, bucket: str) -> None:
    with resolved(bucket, {"uri": uri, "version": "42"}, MIB) as candidate:
        folder = candidate.folder
        assert (folder / "variables" / "variables.index").read_bytes() == b"index"
        assert (candidate.place, candidate.size_bytes) == ("flights/42", 10)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("memory://bucket/secrets", "lies outside"),
        ("memory://bucket/candidates/../secrets", "without `.`, `..`"),
        ("memory://bucket/candidates-old/1", "lies outside"),
        ("/bucket/secrets", "lies outside"),
        ("file:///etc", "lies outside"),
        ("flights/43", "is not there"),
        ("flights/42/variables", "no saved_model.pb"),
    ],
)
def test_a_report_about_elsewhere_is_refused(uri: str, said: str, bucket: str) -> None:
    with pytest.raises(InputError, match=said):
        found(bucket, uri)


def test_a_listing_that_tells_too_small_a_size_is_not_believed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/bucket/candidates/flights/42/assets/big", b"0" * 4096)
    honest = type(filesystem).find

    def lying(self: object, path: str, **options: object) -> object:
        return {name: {**each, "size": 1} for name, each in honest(self, path, **options).items()}

    monkeypatch.setattr(type(filesystem), "find", lying)
    with pytest.raises(InputError, match="larger than"):
        found(bucket, "flights/42", most_bytes=2048)


def test_a_kind_of_storage_that_nobody_knows_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="cannot use nowhere://"):
        found("nowhere://bucket", "flights/42")
