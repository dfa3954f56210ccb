import shutil
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import torch

from conftest import make_recipe
from lesionwise.errors import RecipeError
from lesionwise.execution import Execution
from lesionwise.training.run import train


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
@pytest.mark.slow
def test_a_compiled_step_learns_what_the_plain_one_learns(
    drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = mock.Mock(wraps=torch.compile)
    monkeypatch.setattr(torch, "compile", compiled)
    plain, fused = (
        train(make_recipe(compile=wished, epochs=2), drawn_folder, out=tmp_path / str(wished))
        for wished in (False, True)
    )
    losses = [pd.read_csv(run.history)[["train_loss", "val_loss"]].to_numpy() for run in (plain, fused)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    names = [
        list(torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"])
        for run in (plain, fused)
    ]
    assert names[0] == names[1]
    compiled.assert_called_once()


def test_without_a_compiler_the_key_is_refused(
    drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RecipeError, match=r"needs the C\+\+ compiler"):
        train(
            make_recipe(compile=True), drawn_folder, out=tmp_path / "run", execution=Execution(device="cpu")
        )
    assert not (tmp_path / "run").exists()
