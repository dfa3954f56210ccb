"""Where the files of HAM10000 are, how large, with which checksum: the one table of all addresses.

Here: facts. Not here: fetching (`fetch`) and unpacking (`unpack`).

Dataverse publishes sizes and MD5 sums; the SHA-256 sums are of the same files (doi:10.7910/DVN/DBW86T,
version 4). The ISIC bucket publishes neither, so its archives are held to their own CRC-32 sums, and their
ids and diagnoses to the table of lesions that ships with the package.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from lesionwise.data.known_lesions import known_lesions
from lesionwise.errors import DataError

DATAVERSE: Final = "https://dataverse.harvard.edu/api/access/datafile/"
ISIC: Final = "https://isic-challenge-data.s3.amazonaws.com/2018/"
KAGGLE: Final = "kmader/skin-cancer-mnist-ham10000"

PART_1_LAST: Final = "ISIC_0029305"  # part 1 holds the images up to this one, in id order
TEST_IMAGES: Final = 1_512
TEST_OFTEN_MISSING: Final = "ISIC_0035068"  # flagged synthetic; some copies of the test set lack it
METADATA_SHA256: Final = "de17ec44cb25ea9c3f6378ba18d69224c740afd62e86ec2edc6a894d6aa663d3"


class Source(StrEnum):
    """Who hands the files out."""

    dataverse = "dataverse"
    isic = "isic"
    kaggle = "kaggle"


class Set(StrEnum):
    """What can be downloaded."""

    train = "train"
    test = "test"
    masks = "masks"


Role = Literal["images", "metadata", "truth", "groupings", "masks"]


@dataclass(frozen=True)
class RemoteFile:
    """One file at a source.

    Attributes:
        name: What it is called while it is downloaded, and in messages.
        path: What is appended to the address of its source.
        size: Exact size in bytes, where published.
        about: Rough size in bytes, where no exact one is published: for the check of free space.
    """

    name: str
    path: str
    role: Role
    size: int | None = None
    about: int = 0
    md5: str | None = None
    sha256: str | None = None

    @property
    def is_zip(self) -> bool:
        """Whether it is an archive."""
        return self.name.endswith(".zip")

    def fault_of(self, path: Path) -> str | None:
        """Return what is wrong with the size or the checksums of a local file, or None."""
        size = path.stat().st_size
        if size == 0 or (self.size and size != self.size):
            return f"expected {self.size or 'some'} bytes but got {size:,}"
        for algorithm, expected in (("md5", self.md5), ("sha256", self.sha256)):
            if expected:
                with path.open("rb") as content:
                    found = file_digest(content, algorithm).hexdigest()
                if found != expected:
                    return f"expected {algorithm.upper()} {expected} but got {found}"
        return None


def _isic_file(end: str, role: Role, *, about: int) -> RemoteFile:
    name = f"ISIC2018_Task3_{end}"
    return RemoteFile(name, name, role, about=about)


ADDRESSES: Final = {Source.dataverse: DATAVERSE, Source.isic: ISIC}

# Dataverse's tables are asked for as they were sent in: the ingested ones have other bytes and checksums.
FILES: Final[dict[tuple[Source, Set], tuple[RemoteFile, ...]]] = {
    (Source.dataverse, Set.train): (
        RemoteFile(
            "HAM10000_images_part_1.zip", "3172585", "images", size=1_366_522_108,
            md5="4639bfa73ab251610530a97c898e6e46",
            sha256="6202a599129c2efe81c25aea8586d422eeda8a4fae5df49dd7b7bbf956d419db"),
        RemoteFile(
            "HAM10000_images_part_2.zip", "3172584", "images", size=1_403_566_547,
            md5="da43d6cc50f6613013be07e8986b384b",
            sha256="9677f30118c21ecc667a147de369d89acb25efab046fd32f6b13ad677ce2d6d0"),
        RemoteFile(
            "HAM10000_metadata.csv", "4338392?format=original", "metadata", size=690_218,
            md5="8f85fb1aa29d80a2797247e434deb79d", sha256=METADATA_SHA256),
    ),
    (Source.dataverse, Set.test): (
        RemoteFile(
            "ISIC2018_Task3_Test_Images.zip", "3855824", "images", about=401_000_000,
            md5="0488b6f65849e310857d9207daa55a21"),
        RemoteFile(
            "ISIC2018_Task3_Test_GroundTruth.csv", "6924466?format=original", "truth", about=120_000,
            md5="2b5663aacc9644740f27e355cf7f369a"),
    ),
    (Source.dataverse, Set.masks): (
        RemoteFile(
            "HAM10000_segmentations_lesion_tschandl.zip", "3838943", "masks", size=10_808_743,
            md5="6e8d252e09cfdb0189199f15985a5b84"),
    ),
    (Source.isic, Set.train): (
        _isic_file("Training_Input.zip", "images", about=2_770_000_000),
        _isic_file("Training_GroundTruth.zip", "truth", about=100_000),
        _isic_file("Training_LesionGroupings.csv", "groupings", about=600_000),
    ),
    (Source.isic, Set.test): (
        _isic_file("Test_Input.zip", "images", about=401_000_000),
        _isic_file("Test_GroundTruth.zip", "truth", about=20_000),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    """What is where, and what it must hold; a mirror or a test has its own.

    Attributes:
        addresses: Addresses by source; a file's path is appended to it.
        lesions: Gives image_id, lesion_id and dx of the training images.
    """

    files: Mapping[tuple[Source, Set], tuple[RemoteFile, ...]] = field(default_factory=lambda: FILES)
    addresses: Mapping[Source, str] = field(default_factory=lambda: ADDRESSES)
    lesions: Callable[[], pd.DataFrame] = known_lesions
    test_images: int = TEST_IMAGES

    def sources(self, wanted: Set, source: Source | None = None) -> list[Source]:
        """Return the sources to ask in turn: those that have the set, or the one that was named."""
        having = [candidate for candidate in self.addresses if (candidate, wanted) in self.files]
        if wanted is Set.train:
            having.append(Source.kaggle)
        if source is None:
            return having
        if source not in having:
            raise DataError(f"{source} does not provide {wanted}. Use --source {' or '.join(having)}.")
        return [source]
