import sys
from pathlib import Path

import pytest

from lesionwise.errors import (
    DataError,
    ImageError,
    LesionwiseError,
    MissingExtraError,
    import_extra,
    naming_extras,
    require,
    reraised,
)


def test_another_error_is_raised_as_ours_with_its_words_and_one_full_stop() -> None:
    ours = pytest.raises(DataError, match=r"^a\.csv: cannot be read: it is cut off\.$")
    with ours as caught, reraised(DataError, "a.csv: cannot be read: ", OSError, ValueError):
        raise ValueError("it is cut off.")
    assert isinstance(caught.value.__cause__, ValueError)
    ours_too = pytest.raises(ImageError, match=r"^is damaged: no end$")
    with ours_too, reraised(ImageError, "is damaged: ", EOFError, after=""):
        raise EOFError("no end")


def test_an_error_that_is_not_named_passes_as_it_is() -> None:
    with pytest.raises(KeyError), reraised(DataError, "a.csv: ", ValueError):
        raise KeyError("b")


@pytest.mark.parametrize(
    "content",
    [
        "raise ImportError('libheif.so.1: cannot open it')",
        "raise OSError('libheif.so.1: cannot open it')",
        "import a_library_that_is_not_there",
        "def broken(",
    ],
    ids=["shared library", "system", "missing dependency", "damaged file"],
)
def test_a_package_that_is_there_but_cannot_be_loaded_is_not_called_missing(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pillow_heif.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    with pytest.raises(
        LesionwiseError, match=r"installed but cannot be loaded \(.*--force-reinstall pillow-heif$"
    ):
        import_extra("pillow_heif")


def test_a_package_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingExtraError, match=r"pillow-heif, which is not installed\..*lesionwise\[heif\]"):
        import_extra("pillow_heif")


def test_a_missing_package_that_one_of_our_modules_imports_is_named_with_its_extra() -> None:
    missing = pytest.raises(MissingExtraError, match=r"torch, which is not installed\..*lesionwise\[train\]")
    with missing, naming_extras():
        raise ModuleNotFoundError(name="torch.nn")


def test_a_missing_module_of_no_extra_stays_an_error_of_python() -> None:
    with pytest.raises(ModuleNotFoundError), naming_extras():
        raise ModuleNotFoundError(name="lesionwise.nothing")


def test_a_command_asks_for_its_extra_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    require("numpy")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"opencv-python-headless, .*lesionwise\[hair\]"):
        require("cv2")
