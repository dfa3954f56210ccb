"""Learn the rejection of a finished bundle anew; its weights stay as they are.

    OMP_NUM_THREADS=1 python benchmarks/accuracy/refit_rejection.py BUNDLE DATA NUMBERS OUT

For bundles whose checkpoints are gone: the embeddings come from the bundle itself. DATA holds HAM10000;
NUMBERS is a folder for the embeddings, which are computed where they are missing. `bundle export` does the
same for a run. Nothing is learnt from `test`; if NUMBERS holds its embeddings, the bundle states what passes.
About 10 minutes on one core for `best`, 40 for `larger`, whose samples are smaller for that reason.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lesionwise.bundle.description import Accepted, Description
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import assemble, read_bundle, write_bundle
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.foreign import FOREIGN, change_camera
from lesionwise.evaluation.rejection import Rejection, fit_rejection
from lesionwise.export.graph import without_traces
from lesionwise.labels import INDEX
from lesionwise.split.split_file import read_split

SPLIT = Path(__file__).parents[1] / "reference_split.csv"
CARDS = Path(__file__).parents[2] / "src" / "lesionwise" / "weights"
BATCH = 8


@dataclass(frozen=True)
class Sample:
    """How many pictures of each sort are looked at."""

    each: int
    nv: int
    changed: int
    of_each_kind: int


SAMPLES = {"best": Sample(130, 350, 600, 75), "larger": Sample(70, 70, 350, 45)}
TRAIN_CAMERAS, CAL_CAMERAS = 1, 3  # seeds, as in `lesionwise.training.rejection`


class Pictures:
    """The pictures that a rejection is learnt from, one at a time."""

    def __init__(self, engine: Engine, dataset: Dataset, sample: Sample) -> None:
        self.engine, self.sample = engine, sample
        frame = read_split(SPLIT).frame.set_index("image_id")
        image_ids = dataset.table["image_id"]
        self.paths = dict(zip(image_ids, dataset.paths, strict=True))
        self.y = dict(zip(image_ids, dataset.table["dx"].map(INDEX), strict=True))
        self.cal = list(frame.index[frame["part"] == "cal"])
        self.cal_groups = list(frame.loc[self.cal, "group"])
        self.train = self._some(list(frame.index[frame["part"].isin(["train", "val"])]))

    def _some(self, image_ids: list[str]) -> list[str]:
        rng, kept = np.random.default_rng(0), []
        shuffled = rng.permutation(image_ids)
        for kind in range(7):
            most = self.sample.nv if kind == 5 else self.sample.each  # noqa: PLR2004 (nv)
            kept += [image_id for image_id in shuffled if self.y[image_id] == kind][:most]
        return list(rng.permutation(kept))

    def read(self, image_id: str) -> np.ndarray:
        return self.engine.read(self.paths[image_id])

    def plain(self, image_ids: list[str]) -> Iterator[np.ndarray]:
        yield from map(self.read, image_ids)

    def changed(self, image_ids: list[str], cameras: int) -> Iterator[np.ndarray]:
        for number, image_id in enumerate(image_ids):
            yield change_camera(self.read(image_id), np.random.default_rng([cameras, number]))

    def outsiders(self) -> Iterator[np.ndarray]:
        count = self.sample.of_each_kind
        for place, kind in enumerate(FOREIGN):
            for number in range(count):
                image_id = self.train[(place * count + number) % len(self.train)]
                yield FOREIGN[kind](self.read(image_id), np.random.default_rng([2, place, number]))

    def all(self) -> dict[str, Callable[[], Iterator[np.ndarray]]]:
        return {
            "cal": lambda: self.plain(self.cal),
            "train": lambda: self.plain(self.train),
            "train-changed": lambda: self.changed(self.train[: self.sample.changed], TRAIN_CAMERAS),
            "outsiders": self.outsiders,
            "cal-changed": lambda: self.changed(self.cal, CAL_CAMERAS),
        }


def embeddings(engine: Engine, pictures: Iterable[np.ndarray]) -> np.ndarray:
    waiting, found = iter(pictures), []
    while batch := list(islice(waiting, BATCH)):
        found.append(engine.run(np.stack(batch))["embedding"])
    return np.concatenate(found)


def with_rejection(model: onnx.ModelProto, rejection: Rejection) -> None:
    """Replace whatever computes `ood_score`."""
    graph = model.graph
    wanted, nodes = {port.name for port in graph.output if port.name != "ood_score"}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            nodes.insert(0, node)
    weights = [weight for weight in graph.initializer if weight.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    constant(model, "ood.direction", np.float32(rejection.direction)[:, None])
    constant(model, "ood.middle", np.float32(rejection.middle))
    constant(model, "ood.offset", np.float32(rejection.offset))
    constant(model, "ood.axis", np.array([1]))
    graph.node.extend(
        [
            helper.make_node("Sub", ["embedding", "ood.middle"], ["ood.off"]),
            helper.make_node("MatMul", ["ood.off", "ood.direction"], ["ood.sum"]),
            helper.make_node("Squeeze", ["ood.sum", "ood.axis"], ["ood.row"]),
            helper.make_node("Add", ["ood.row", "ood.offset"], ["ood_score"]),
        ]
    )


def constant(model: onnx.ModelProto, name: str, values: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def main() -> None:
    bundle, data, numbers, out = sys.argv[1:]
    engine = Engine(read_bundle(bundle), threads=1)
    description = engine.description
    pictures = Pictures(engine, read_dataset(data), SAMPLES[description.name])
    found = {}
    for kind, make in pictures.all().items():
        kept = Path(numbers) / f"embeddings-{kind}.npy"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, embeddings(engine, make()))
        found[kind] = np.load(kept)
    rejection = fit_rejection(
        np.concatenate([found["train"], found["train-changed"]]),
        found["outsiders"],
        cal=found["cal"],
        cal_changed=found["cal-changed"],
        cal_classes=[pictures.y[image_id] for image_id in pictures.cal],
        cal_groups=pictures.cal_groups,
    )
    kept = Path(numbers) / "embeddings-test.npy"
    accepted = float(np.mean(rejection.score(np.load(kept)) < rejection.cutoff)) if kept.is_file() else None
    write_bundle(refitted(engine, rejection, accepted, Path(out)).bundle)
    print(f"{out}: cut-off {rejection.cutoff:.4f}, test passed {accepted}")
    print("By a cut-off of the other images of cal passed:")
    for code, passed in rejection.accepted.items():
        print(f"  {code}: {passed.part:.3f} of {passed.images}")


def refitted(engine: Engine, rejection: Rejection, accepted: float | None, out: Path) -> Engine:
    """Return the engine of the new bundle, after comparing it with the old one."""
    claims = {
        part: found.model_copy(update={"accepted": accepted if part == "test" else None})
        for part, found in engine.description.scores.items()
    }
    card = (CARDS / f"{engine.description.name}.md").read_text(encoding="utf-8")
    model = onnx.load_from_string(engine.bundle.content)
    with_rejection(model, rejection)
    prune(model)
    description = engine.description.model_copy(
        update={
            "ood_cutoff": rejection.cutoff,
            "ood_accepted": records(rejection),
            "scores": claims,
            "card": card,
        }
    )
    new = Engine(assemble(without_traces(model), Description.model_validate(description.model_dump()), out))
    pixels = np.random.default_rng(0).integers(0, 256, (8, *description.input.size, 3), np.uint8)
    old, now = engine.run(pixels), new.run(pixels)
    for name in set(description.outputs) - {"ood_score"}:
        print(f"{name}: largest difference {np.abs(old[name] - now[name]).max():.2g}")
    expected = rejection.score(now["embedding"])
    print(f"ood_score: largest difference {np.abs(expected - now['ood_score']).max():.2g}")
    return new


def prune(model: onnx.ModelProto) -> None:
    """Remove nodes and weights that nothing needs any more."""
    wanted, nodes = {port.name for port in model.graph.output}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            nodes.insert(0, node)
    weights = [weight for weight in model.graph.initializer if weight.name in wanted]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)


def records(rejection: Rejection) -> dict[str, Accepted]:
    return {code: Accepted(images=kept.images, part=kept.part) for code, kept in rejection.accepted.items()}


if __name__ == "__main__":
    main()
