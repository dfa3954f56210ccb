"""Weights that somebody trained elsewhere: a file, and what is needed to use it.

Not here: networks. Never pickle: a weights file is data, not a program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from lesionwise.errors import RecipeError
from lesionwise.wording import counted

PUBLISHED: Final = "published"
FRESH: Final = "none"

Statistics = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class WeightsFile:
    """Weights of one network; those of its classifier are not used.

    Attributes:
        statistics: Mean and standard deviation of RGB in [0, 1] in their training; None if the file does not
            state them.
    """

    path: Path
    state: Mapping[str, Tensor]
    statistics: Statistics | None

    def verify_complete(self, network: nn.Module) -> None:
        """Make sure that the file has every weight of a network. `network`: without its unused parts."""
        missing = [
            name
            for name in network.state_dict()
            if name not in self.state and not name.endswith("num_batches_tracked")
        ]
        if missing:
            raise RecipeError(
                f"{self.path}: has no {missing[0]} and lacks {counted(len(missing), 'tensor')} of the "
                "network. It belongs to another network, or uses other names than timm's."
            )


def read_weights(path: str | Path) -> WeightsFile:
    """Read a safetensors file; its metadata may contain `mean` and `std`, each as "r,g,b"."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 (fresh weights need none of it)

    path = Path(path)
    if not path.is_file():
        raise RecipeError(
            f'Expected weights to be "{PUBLISHED}", "{FRESH}", a safetensors file, a bundle or a run folder '
            f'but there is no "{path}".'
        )
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a reader, no dict)
    except (SafetensorError, OSError) as error:
        raise RecipeError(f"{path}: cannot be read as safetensors: {error}.") from error
    return WeightsFile(path, state, _statistics(facts))


def _statistics(facts: Mapping[str, str]) -> Statistics | None:
    try:
        mean, std = ([float(number) for number in facts[key].split(",")] for key in ("mean", "std"))
    except (KeyError, ValueError):
        return None
    return (mean, std) if len(mean) == len(std) == len("RGB") else None


def explain_unreachable(name: str, described: Any) -> str:  # noqa: ANN401 (timm's record)
    """Return what to do if the published weights of a timm network cannot be fetched."""
    at_hub = f"model.safetensors of {described.hf_hub_id} from the Hugging Face hub"
    elsewhere = f"{described.url} and save its tensors as safetensors"
    return (
        f"The published weights of timm:{name} cannot be fetched. On a machine with a network, fetch "
        f"{at_hub if described.hf_hub_id else elsewhere}. Copy the file here and set weights=FILE, "
        f"mean={list(described.mean)}, std={list(described.std)}. A recipe that trains all of its features, "
        f'neither a probe nor freeze = "all", can start from scratch instead, with weights={FRESH}.'
    )
