from pathlib import Path

import pytest

from conftest import NotedProgress, make_recipe
from lesionwise.execution import Execution
from lesionwise.files import read_json
from lesionwise.training.run import train


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_parts_of_a_step_add_up_to_less_than_the_stage_and_all_take_time(
    drawn_folder: Path, tmp_path: Path, accumulate: int
) -> None:
    run = train(make_recipe(epochs=2, accumulate=accumulate), drawn_folder, out=tmp_path / "run")
    stage = read_json(run.timing)["train"]
    assert list(stage["parts"]) == ["load", "augment", "forward and backward", "optimizer step"]
    assert all(seconds > 0 for seconds in stage["parts"].values())
    assert sum(stage["parts"].values()) < stage["seconds"]
    assert stage["parts"]["optimizer step"] < stage["parts"]["forward and backward"]


def test_progress_counts_images_up_to_the_end_of_each_epoch(drawn_folder: Path, tmp_path: Path) -> None:
    noted = NotedProgress()
    train(make_recipe(epochs=2), drawn_folder, out=tmp_path / "run", execution=Execution(progress=noted))
    for epoch in (0, 1):
        done = [step[1] for step in noted.steps if step[0] == epoch]
        assert done == sorted(done)
        assert done[-1] == next(step[2] for step in noted.steps if step[0] == epoch)


def test_tensorboard_logs_land_in_the_run_folder(drawn_folder: Path, tmp_path: Path) -> None:
    run = train(make_recipe(epochs=1, logger="tensorboard"), drawn_folder, out=tmp_path / "run")
    assert list((run.path / "tensorboard").glob("events.out.tfevents.*"))
