import re
import tomllib

from conftest import ROOT
from lesionwise.cli import _EXTRA_OF_MODULE

_MODULES = {
    "scikit-learn": "sklearn",
    "opencv-python-headless": "cv2",
    "mlflow-skinny": "mlflow",
}  # where the two names differ


def test_each_dependency_of_an_extra_is_named_when_it_is_missing() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    expected = {}
    for extra in extras.keys() - {"dev"}:
        names = [re.split(r"[>=<\[]", line)[0] for line in extras[extra]]
        expected |= {_MODULES.get(name, name): extra for name in names if name != "lesionwise"}
    assert {**expected, "h5py": "keras"} == _EXTRA_OF_MODULE  # with Keras comes h5py
