import re
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import make_recipe
from lesionwise.errors import RunError
from lesionwise.training.loop.hardware import choose_device, choose_precision, resident_pixels
from lesionwise.training.step.datamodule import ImageDataModule, ImageRows

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3)).astype(np.uint8)
Y = np.arange(40) % 7


def test_a_batch_holds_the_rows_that_were_asked_for() -> None:
    rows = np.array([3, 9, 30, 31])
    batch = ImageRows(PIXELS, Y, rows).__getitems__([2, 0])
    assert batch.rows.tolist() == [30, 3]
    assert np.array_equal(batch.images, PIXELS[[30, 3]])
    assert batch.y.tolist() == [2, 3]


def test_images_that_live_on_the_device_give_the_same_batches() -> None:
    mapped = ImageRows(PIXELS, Y, np.arange(40)).__getitems__([5, 1, 39])
    resident = ImageRows(torch.from_numpy(PIXELS), Y, np.arange(40)).__getitems__([5, 1, 39])
    assert torch.equal(mapped.images, resident.images)
    assert torch.equal(mapped.y, resident.y)


def test_an_epoch_shows_every_training_image_at_most_once_and_val_in_order() -> None:
    train, val = ImageRows(PIXELS, Y, np.arange(33)), ImageRows(PIXELS, Y, np.arange(33, 40))
    module = ImageDataModule(train, val, make_recipe(batch_size=8), seed=0)
    rows = np.concatenate([batch.rows for batch in module.train_dataloader()])
    assert len(rows) == 32
    assert len(set(rows.tolist())) == 32
    assert np.concatenate([batch.rows for batch in module.val_dataloader() if batch]).tolist() == list(
        range(33, 40)
    )


def test_parts_of_a_batch_that_never_fills_are_refused() -> None:
    train = ImageRows(PIXELS, Y, np.arange(40))
    ImageDataModule(train, None, make_recipe(batch_size=40, accumulate=4), seed=0)
    with pytest.raises(RunError, match=r"divides batches of 64 images, but train has 40 images\."):
        ImageDataModule(train, None, make_recipe(batch_size=64, accumulate=4), seed=0)


def test_a_batch_that_was_read_leaves_no_page_of_the_file_in_memory(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps").is_file():
        pytest.skip("needs Linux")
    pixels = np.lib.format.open_memmap(
        tmp_path / "pixels.npy", mode="w+", dtype=np.uint8, shape=(64, 64, 64, 3)
    )
    pixels[:] = 7
    pixels.flush()
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    del pixels

    def resident_kb() -> int:
        entry = Path("/proc/self/smaps").read_text().partition(str(tmp_path / "pixels.npy"))[2]
        return int(re.search(r"\nRss:\s+(\d+)", entry)[1])  # type: ignore[index]

    assert mapped.sum() == 7 * mapped.size
    assert resident_kb() > 500
    batch = ImageRows(mapped, np.arange(64) % 7, np.arange(64)).__getitems__([3, 60])
    assert (batch.images == 7).all()
    assert resident_kb() == 0


def test_a_part_smaller_than_a_batch_still_trains() -> None:
    few = ImageRows(PIXELS, Y, np.arange(5))
    module = ImageDataModule(few, few, make_recipe(batch_size=8), seed=0)
    assert [len(batch.rows) for batch in module.train_dataloader()] == [5]


def test_a_cpu_reads_the_memory_map_where_it_is() -> None:
    assert resident_pixels(PIXELS, "cpu") is PIXELS


def test_a_named_device_is_taken_at_its_word_and_precision_is_one_that_it_has() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in {"cpu", "cuda", "mps"}
    assert choose_precision("cpu") in {"bf16-mixed", "32-true"}
    assert choose_precision("mps") == "32-true"


def test_processes_read_rows_of_their_own_and_all_of_val_once() -> None:
    train, val = ImageRows(PIXELS, Y, np.arange(33)), ImageRows(PIXELS, Y, np.arange(33, 40))
    modules = [
        ImageDataModule(train, val, make_recipe(batch_size=8), seed=0, rank=rank, processes=2)
        for rank in (0, 1)
    ]
    rows = [np.concatenate([batch.rows for batch in module.train_dataloader()]) for module in modules]
    assert [len(own) for own in rows] == [16, 16]
    assert not set(rows[0]) & set(rows[1])
    seen = [np.concatenate([batch.rows for batch in module.val_dataloader() if batch]) for module in modules]
    assert [own.tolist() for own in seen] == [[33, 35, 37, 39], [34, 36, 38]]


def test_too_few_images_to_share_are_refused() -> None:
    few = ImageRows(PIXELS, Y, np.arange(5))
    with pytest.raises(RunError, match="2 processes share a batch_size of 8, but train has 5 images"):
        ImageDataModule(few, few, make_recipe(batch_size=8), seed=0, processes=2)
