"""A whole set from servers that misbehave: one folder from every source, nothing half taken for whole."""

import csv
import io
import json
import shutil
import sys
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lesionwise.data.dataset import read_dataset
from lesionwise.data.download import obtain
from lesionwise.data.download.check import check_folder
from lesionwise.data.download.fetch import Patience
from lesionwise.data.download.obtain import download_set
from lesionwise.data.download.sources import Catalogue, RemoteFile, Set, Source
from lesionwise.data.known_lesions import known_lesions
from lesionwise.errors import DataError, DownloadError, LesionwiseError, MissingExtraError
from misbehaving import Site, serve

QUICK = Patience(attempts=3, timeout_s=0.3, sleep=lambda _: None)
CONFIRMATION = {
    "histo": "histopathology",
    "follow_up": "serial imaging showing no change",
    "consensus": "single image expert consensus",
}


def draw(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


def pack(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Mirror:
    """The official files, made small: a site, a catalogue of it, and what the set should end as."""

    def __init__(self, images: dict[str, bytes], metadata: pd.DataFrame) -> None:
        self.images = images
        self.lesions = metadata[["image_id", "lesion_id", "dx"]].sort_values("image_id", ignore_index=True)
        parts = [
            {f"{name}.jpg": content for name, content in images.items() if (name > "ISIC_0029305") == late}
            for late in (False, True)
        ]
        hot = [
            [image, *(str(float(dx == code)) for code in CODES)] for image, _, dx in self.lesions.to_numpy()
        ]
        truth = table_of([["image", *(code.upper() for code in CODES)], *hot])
        columns = metadata[["image_id", "lesion_id", "dx_type"]].to_numpy(str)
        groups = [[image, lesion, CONFIRMATION[how]] for image, lesion, how in columns]
        masks = pack({"x_segmentation.png": b"mask"})
        test = {f"{name}.jpg": images[name] for name in sorted(images)[:3]}
        self.site = Site(
            {
                "dv/1": pack(parts[0]),
                "dv/2": pack(parts[1]),
                "dv/meta": metadata.to_csv(index=False).encode(),
                "dv/masks": masks,
                "dv/test": pack(test),
                "dv/truth": metadata.sort_values("image_id").head(3).to_csv(index=False).encode(),
                "isic/in": pack(
                    {f"Input/{name}": content for part in parts for name, content in part.items()}
                    | {"Input/LICENSE.txt": b"CC"}
                ),
                "isic/truth": pack({"T/ISIC2018_Task3_Training_GroundTruth.csv": truth}),
                "isic/groups": table_of([["image", "lesion_id", "diagnosis_confirm_type"], *groups]),
                "isic/test": pack({f"Test/{name}": content for name, content in test.items()}),
                "isic/testtruth": pack(
                    {"T/ISIC2018_Task3_Test_GroundTruth.csv": b"\n".join(truth.splitlines()[:4])}
                ),
            }
        )

    def catalogue(self, site: Site) -> Catalogue:
        def remote(name: str, path: str, role: str, *, sums: bool) -> RemoteFile:
            content = site.files[path]
            known = {"size": len(content), "md5": md5(content).hexdigest()} if sums else {}  # noqa: S324
            return RemoteFile(name, path.partition("/")[2], role, **known)  # type: ignore[arg-type]

        return Catalogue(
            files={
                (Source.dataverse, Set.train): (
                    remote("part_1.zip", "dv/1", "images", sums=True),
                    remote("part_2.zip", "dv/2", "images", sums=True),
                    remote("HAM10000_metadata.csv", "dv/meta", "metadata", sums=True),
                ),
                (Source.dataverse, Set.masks): (remote("masks.zip", "dv/masks", "masks", sums=True),),
                (Source.dataverse, Set.test): (
                    remote("test.zip", "dv/test", "images", sums=True),
                    remote("ISIC2018_Task3_Test_GroundTruth.csv", "dv/truth", "truth", sums=True),
                ),
                (Source.isic, Set.train): (
                    remote("in.zip", "isic/in", "images", sums=False),
                    remote("ISIC2018_Task3_Training_GroundTruth.zip", "isic/truth", "truth", sums=False),
                    remote("x_LesionGroupings.csv", "isic/groups", "groupings", sums=False),
                ),
                (Source.isic, Set.test): (
                    remote("test.zip", "isic/test", "images", sums=False),
                    remote("ISIC2018_Task3_Test_GroundTruth.zip", "isic/testtruth", "truth", sums=False),
                ),
            },
            addresses={Source.dataverse: f"{site.address}dv/", Source.isic: f"{site.address}isic/"},
            lesions=lambda: self.lesions,
            test_images=3,
        )


CODES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")


def table_of(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def drawn_mirror() -> Mirror:
    known = known_lesions()
    rows = pd.concat([known[known["image_id"] <= "ISIC_0029305"].head(8), known.tail(8)], ignore_index=True)
    rows = rows.assign(dx_type="histo", age="50.0", sex="male", localization="back")
    order = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    return Mirror({name: draw(seed) for seed, name in enumerate(rows["image_id"])}, rows[order])


@pytest.fixture
def mirror() -> Mirror:
    return drawn_mirror()


@pytest.fixture
def site(mirror: Mirror) -> Iterator[Site]:
    with serve(mirror.site) as served:
        yield served


@pytest.fixture
def catalogue(mirror: Mirror, site: Site) -> Catalogue:
    return mirror.catalogue(site)


@pytest.fixture(autouse=True)
def _no_kaggle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=_refuse))


def _refuse(_: str) -> str:
    raise OSError("no network")


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, mirror: Mirror) -> None:
    """A kagglehub that has the archive of Kaggle, with its lower-case twins and hmnist files."""
    for name, content in mirror.images.items():
        part = f"part_{1 if name <= 'ISIC_0029305' else 2}"
        for spelling in ("HAM10000", "ham10000"):
            path = folder / f"{spelling}_images_{part}" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (folder / "HAM10000_metadata.csv").write_bytes(mirror.site.files["dv/meta"])
    (folder / "hmnist_8_8_L.csv").write_text("pixel0000,label\n1,2\n")
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=lambda _: str(folder)))


def images_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


@pytest.mark.parametrize("source", list(Source))
def test_every_source_ends_in_the_same_folder(
    mirror: Mirror, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    stand_in(monkeypatch, tmp_path / "kagglehub", mirror)
    done = download_set(Set.train, tmp_path / "out", source=source, catalogue=catalogue, patience=QUICK)
    assert done.source is source
    expected = {
        f"HAM10000_images_part_{1 if name <= 'ISIC_0029305' else 2}/{name}.jpg": content
        for name, content in mirror.images.items()
    }
    assert images_below(tmp_path / "out") == expected
    table = read_dataset(tmp_path / "out").table
    pd.testing.assert_frame_equal(table[["image_id", "lesion_id", "dx"]], mirror.lesions, check_dtype=False)
    assert set(table["dx_type"]) == {"histo"}
    receipt = json.loads((tmp_path / "out" / "lesionwise-download.json").read_text())
    vouched = 0 if source is Source.kaggle else len(expected)  # no archive was verified there
    assert (receipt["source"], len(receipt["files"])) == (source.value, vouched)
    assert check_folder(tmp_path / "out", Set.train, catalogue).originals == vouched
    assert not (tmp_path / "out" / ".download").exists()


@pytest.mark.parametrize("source", [Source.dataverse, Source.isic])
def test_the_test_set_ends_in_the_same_folder_too(
    site: Site, catalogue: Catalogue, tmp_path: Path, source: Source
) -> None:
    download_set(Set.test, tmp_path / "out", source=source, catalogue=catalogue, patience=QUICK)
    assert len(list((tmp_path / "out" / "ISIC2018_Task3_Test_Images").iterdir())) == 3
    assert (tmp_path / "out" / "ISIC2018_Task3_Test_GroundTruth.csv").is_file()
    assert {method for method, _, _ in site.asked} == {"GET"}


def test_masks_come_as_their_archive(site: Site, catalogue: Catalogue, tmp_path: Path) -> None:
    download_set(Set.masks, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    assert (tmp_path / "out" / "masks.zip").read_bytes() == site.files["dv/masks"]


@pytest.mark.parametrize("fault", ["403", "html", "foreign", "wrong", "503", "shorter", "drops"])
def test_the_next_source_is_asked_when_one_does_not_do(
    site: Site, catalogue: Catalogue, tmp_path: Path, fault: str
) -> None:
    site.faults["dv/2"] = [fault] * 9
    done = download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    assert done.source is Source.isic
    assert list(done.failed) == [Source.dataverse]
    assert check_folder(tmp_path / "out", Set.train, catalogue).complete


def test_when_none_does_all_reasons_are_told_and_the_folder_is_no_data_folder(
    site: Site, catalogue: Catalogue, tmp_path: Path
) -> None:
    site.faults |= {"dv/2": ["html"] * 9, "isic/truth": ["404"] * 9}
    with pytest.raises(
        DownloadError, match=r"dataverse: .*web page(.|\n)*isic: .*404(.|\n)*kaggle: .*no network"
    ):
        download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    with pytest.raises(DataError):
        read_dataset(tmp_path / "out")


def test_a_second_run_asks_for_nothing(site: Site, catalogue: Catalogue, tmp_path: Path) -> None:
    download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    asked = len(site.asked)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert download_set(Set.train, tmp_path / "out", catalogue=catalogue).source is None
    assert len(site.asked) == asked
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_an_archive_that_was_unpacked_is_not_fetched_again_when_a_later_one_fails(
    site: Site, catalogue: Catalogue, tmp_path: Path
) -> None:
    site.faults["dv/2"] = ["403"] * 20
    with pytest.raises(DownloadError):
        download_set(
            Set.train, tmp_path / "out", source=Source.dataverse, catalogue=catalogue, patience=QUICK
        )
    asked = site.count("dv/1")
    site.faults.clear()
    download_set(Set.train, tmp_path / "out", source=Source.dataverse, catalogue=catalogue, patience=QUICK)
    assert site.count("dv/1") == asked == 1


def test_masks_beside_the_images_leave_what_is_known_of_the_images(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    known = check_folder(tmp_path / "out", Set.train, catalogue).originals
    download_set(Set.masks, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    assert check_folder(tmp_path / "out", Set.train, catalogue).originals == known > 0


def test_a_damaged_image_is_replaced_and_the_others_are_left(
    mirror: Mirror, catalogue: Catalogue, tmp_path: Path
) -> None:
    download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    torn, *others = sorted((tmp_path / "out").rglob("*.jpg"))
    torn.write_bytes(torn.read_bytes()[:300])
    before = [path.stat().st_mtime_ns for path in others]
    assert list(check_folder(tmp_path / "out", Set.train, catalogue).damaged) == [torn.stem]
    download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    assert torn.read_bytes() == mirror.images[torn.stem]
    assert [path.stat().st_mtime_ns for path in others] == before


def test_an_archive_that_lacks_images_is_not_the_set(
    mirror: Mirror, site: Site, catalogue: Catalogue, tmp_path: Path
) -> None:
    some = dict(list(mirror.images.items())[:5])
    site.files["isic/in"] = pack({f"{name}.jpg": content for name, content in some.items()})
    with pytest.raises(DownloadError, match=r"did not provide the whole set: 11 missing"):
        download_set(Set.train, tmp_path / "out", source=Source.isic, catalogue=catalogue, patience=QUICK)


def test_other_diagnoses_than_the_official_ones_are_not_the_set(
    site: Site, catalogue: Catalogue, tmp_path: Path
) -> None:
    site.files["isic/groups"] = site.files["isic/groups"].replace(b"HAM_00", b"HAM_99")
    with pytest.raises(DownloadError, match="differs from the official ids, lesions or diagnoses"):
        download_set(Set.train, tmp_path / "out", source=Source.isic, catalogue=catalogue, patience=QUICK)


def test_a_disk_that_is_too_small_is_said_before_anything_is_asked_for(
    site: Site, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 (as shutil gives it)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(DataError, match="GB of free space"):
        download_set(Set.train, tmp_path / "new" / "out", catalogue=catalogue)
    assert site.asked == []
    assert not (tmp_path / "new").exists()


def test_a_full_disk_on_the_way_is_said_and_leaves_no_image_half(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(obtain, "unpack_images", full)
    with pytest.raises(DataError, match="No space left on device"):
        download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)


def test_sets_do_not_mix_in_one_folder(catalogue: Catalogue, tmp_path: Path) -> None:
    download_set(Set.test, tmp_path / "out", catalogue=catalogue, patience=QUICK)
    with pytest.raises(DataError, match="must not mix with another"):
        download_set(Set.train, tmp_path / "out", catalogue=catalogue, patience=QUICK)


def test_a_source_without_the_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"kaggle does not provide test. Use --source dataverse or isic"):
        download_set(Set.test, tmp_path, source=Source.kaggle)


def test_kaggle_without_its_client_names_the_extra(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingExtraError, match=r"lesionwise\[kaggle\]"):
        download_set(Set.train, tmp_path / "out", source=Source.kaggle, catalogue=catalogue)


FAULTS = st.sampled_from(
    ["403", "503", "html", "truncated", "wrong", "foreign", "empty", "drops", "shorter", "longer", "changed"]
)


@given(
    faults=st.dictionaries(
        st.sampled_from(["dv/1", "dv/2", "dv/meta", "isic/in", "isic/truth", "isic/groups"]),
        st.lists(FAULTS, min_size=1, max_size=4),
    ),
    ranges=st.booleans(),
    runs=st.integers(1, 3),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the temporary folder is made anew inside
)
def test_however_it_misbehaves_nothing_half_is_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, *, faults: dict[str, list[str]], ranges: bool, runs: int
) -> None:
    mirror, out = drawn_mirror(), tmp_path_factory.mktemp("any") / "out"
    mirror.site.faults, mirror.site.ranges = {path: list(queue) for path, queue in faults.items()}, ranges
    with serve(mirror.site) as site:
        catalogue = mirror.catalogue(site)
        for _ in range(runs):
            try:
                download_set(Set.train, out, catalogue=catalogue, patience=QUICK)
                whole = True
            except LesionwiseError:
                whole = False
            for path in out.rglob("*.jpg"):
                assert path.read_bytes() == mirror.images[path.stem]
            assert check_folder(out, Set.train, catalogue).complete == whole
            if not whole:
                with pytest.raises(LesionwiseError):
                    read_dataset(out)


def test_real_images_come_through_a_server_that_misbehaves(ham10000: Path, tmp_path: Path) -> None:
    whole = read_dataset(ham10000)
    rows = pd.concat([whole.table.head(40), whole.table.tail(40)])
    images = {
        image_id: (ham10000 / path).read_bytes()
        for image_id, path in zip(rows["image_id"], rows["path"], strict=True)
    }
    order = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    mirror = Mirror(images, rows[order].replace({"dx_type": {"confocal": "consensus"}}))
    mirror.site.faults = {
        "dv/1": ["503", "truncated", "truncated", "hangs"],
        "dv/2": ["moved", "wrong", "truncated"],
        "dv/meta": ["drops"],
    }
    with serve(mirror.site) as site:
        done = download_set(Set.train, tmp_path / "out", catalogue=mirror.catalogue(site), patience=QUICK)
    assert done.source is Source.dataverse
    assert {Path(name).stem: content for name, content in images_below(tmp_path / "out").items()} == images
