"""What fewer bits change, alone and with close calls computed again in fp32, and the pace of each.

    OMP_NUM_THREADS=1 python benchmarks/speed/near_ties.py DATA best larger
    OMP_NUM_THREADS=1 python benchmarks/speed/near_ties.py DATA best --parts
    OMP_NUM_THREADS=1 python benchmarks/speed/near_ties.py DATA best --margins

DATA is the folder of HAM10000. The margin is found on `cal` of the reference split as `export` finds it.
`val` has no part in that, so its counts show what the margin is worth. All ways take turns with every batch
of eight images of `val`, on one thread, and their times are added up. `--parts` counts on `cal` what weights
alone, and parts of the convolutions in eight bits, change. `--margins` counts the same with fixed margins.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from lesionwise.bundle.decide import distance_to_change
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.bundle.int8 import round_convolutions
from lesionwise.bundle.load import Bundle, read_bundle
from lesionwise.bundle.precision import FASTEST_FIRST
from lesionwise.bundle.runtimes import import_openvino
from lesionwise.data.dataset import read_dataset
from lesionwise.export.precision import Timed, check_with_margin, count_changes, with_replaced
from lesionwise.labels import INDEX
from lesionwise.split.split_file import read_split

SPLIT = Path(__file__).parents[1] / "reference_split.csv"
BF16 = 16
WEIGHTED = {"Convolution", "GroupConvolution", "MatMul"}


class Part:
    """The images of a part of the reference split, as a model takes them."""

    def __init__(self, name: str, engine: Engine, data: Path) -> None:
        dataset, frame = read_dataset(data), read_split(SPLIT).frame
        wanted = set(frame["image_id"][frame["part"] == name])
        rows = np.flatnonzero([image in wanted for image in dataset.table["image_id"]])
        table = dataset.table.iloc[rows]
        self.name, self.lesions = name, table["lesion_id"].to_numpy(str)
        self.y_true = np.array([INDEX[code] for code in table["dx"]])
        self.pixels = np.stack([engine.read(dataset.paths[row]) for row in rows])
        self.known = engine.encode(engine.known(dataset, rows) or [])

    def batches(self, size: int = BATCH) -> Iterator[tuple]:
        for start in range(0, len(self.pixels), size):
            some = slice(start, start + size)
            yield self.pixels[some], None if self.known is None else self.known[some]


def timed(engines: list[Engine], part: Part) -> list[tuple[Timed, float]]:
    """Return the answers of each engine with its processor time, and its wall time."""
    found, cpu, wall = [[] for _ in engines], np.zeros(len(engines)), np.zeros(len(engines))
    for batch in part.batches():
        for place, engine in enumerate(engines):
            before = process_time(), perf_counter()
            found[place].append(engine.run(*batch))
            cpu[place] += process_time() - before[0]
            wall[place] += perf_counter() - before[1]
    answers = [engine.answers(own) for engine, own in zip(engines, found, strict=True)]
    return [(Timed(own, used), took) for own, used, took in zip(answers, cpu, wall, strict=True)]


def measure(name: str, data: Path) -> None:
    bundle = read_bundle(name)
    bundle = replace(bundle, description=bundle.description.model_copy(update={"precisions": {}}))
    full, *quick = [Engine(bundle, threads=1, precision=one) for one in ("fp32", *FASTEST_FIRST)]
    cal, val = (Part(part, full, data) for part in ("cal", "val"))
    (exact, _), *rest = timed([full, *quick], cal)
    checks = {}
    for engine, (found, _) in zip(quick, rest, strict=True):
        checks[engine.precision] = check_with_margin(exact, found, cal.y_true, cal.lesions)
        print(
            name, engine.precision, "alone on cal:", count_changes(exact.answers, found.answers, cal.y_true)
        )
        print(name, engine.precision, "and again on cal:", checks[engine.precision])
    stated = replace(bundle, description=bundle.description.model_copy(update={"precisions": checks}))
    again = [Engine(stated, threads=1, precision=one) for one in FASTEST_FIRST]
    engines = [full, *quick, *again]
    (exact, wall), *rest = timed(engines, val)
    for engine, (found, took) in zip(engines[1:], rest, strict=True):
        off = np.abs(found.answers.probabilities - exact.answers.probabilities).max(axis=1)
        print(
            f"{name} {engine.computed_in} on val: processor {exact.seconds / found.seconds:.2f}, wall "
            f"{wall / took:.2f} of fp32; mean and 95 % of differences {off.mean():.3f}, "
            f"{np.quantile(off, 0.95):.3f}; {count_changes(exact.answers, found.answers, val.y_true)}"
        )


def rounded(weights: np.ndarray, kind: str, bits: int) -> np.ndarray:
    """Return weights in bf16, or in eight bits within the range of each output channel."""
    if bits == BF16:
        high = weights.view(np.uint32)
        return ((high + 0x7FFF + ((high >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    first = {"GroupConvolution": 2}.get(kind, 1)  # the axes before it count channels
    step = np.abs(weights).max(axis=tuple(range(first, weights.ndim)), keepdims=True)
    step = np.maximum(step, 1e-9) / 127
    return (np.round(weights / step) * step).astype(np.float32)


def parts(bundle: Bundle) -> Iterator[tuple[str, object, str]]:
    """Yield graphs of which only a part is rounded, and the format of the rest."""
    openvino, ranges = import_openvino(), bundle.description.int8_ranges
    read = partial(openvino.Core().read_model, bundle.content)
    for bits in (BF16, 8):
        model = read()
        for layer in model.get_ordered_ops():
            kind = layer.get_type_name()
            weights = layer.input_value(1).get_node() if kind in WEIGHTED else None
            if (
                weights
                and weights.get_type_name() == "Constant"
                and ".network." in weights.get_friendly_name()
            ):
                values = rounded(np.array(weights.data, np.float32), kind, bits)
                layer.input(1).replace_source_output(openvino.opset13.constant(values).output(0))
        yield f"weights alone in {bits} bits", model, "f32"
    names = list(ranges)
    quarters = [
        (f"quarter {one + 1}", names[one * len(names) // 4 : (one + 1) * len(names) // 4], "f32")
        for one in range(4)
    ]
    for title, some, rest in [*quarters, ("last half", names[len(names) // 2 :], "bf16")]:
        model = read()
        round_convolutions(model, {one: ranges[one] for one in some})
        yield f"{title} of the convolutions in eight bits, the rest in {rest}", model, rest


def count_parts(name: str, data: Path) -> None:
    engine = Engine(read_bundle(name), threads=1, precision="fp32")
    cal = Part("cal", engine, data)
    exact = engine.answers([engine.run(*batch) for batch in cal.batches()])
    for title, model, rest in parts(engine.bundle):
        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": rest}
        compiled = import_openvino().Core().compile_model(model, "CPU", settings)
        prob = []
        for pixels, known in cal.batches(2):
            given = {"image": pixels, **({} if known is None else {"metadata": known})}
            prob.append(np.array(compiled(given)[0]))
        found = replace(exact, probabilities=np.concatenate(prob))
        print(name, title, count_changes(exact, found, cal.y_true), flush=True)


def count_margins(name: str, data: Path) -> None:
    bundle = read_bundle(name)
    bundle = replace(bundle, description=bundle.description.model_copy(update={"precisions": {}}))
    full, quick = (Engine(bundle, threads=1, precision=one) for one in ("fp32", "bf16"))
    for part in (Part("cal", full, data), Part("val", full, data)):
        (exact, _), (found, _) = timed([full, quick], part)
        away = distance_to_change(bundle.description, found.answers.probabilities)
        for margin in (0.3, 0.4, 0.5, 0.6, 0.8):
            again = away <= margin
            mixed = with_replaced(found.answers, exact.answers, again)
            cost = found.seconds + again.mean() * exact.seconds
            print(
                f"{name} bf16 {part.name}, log-odds {margin}: {again.mean():.3f} again, pace "
                f"{exact.seconds / cost:.2f}; {count_changes(exact.answers, mixed, part.y_true)}"
            )


def main(data: str, *names: str) -> None:
    ways = {"--parts": count_parts, "--margins": count_margins}
    way = next((ways[name] for name in names if name in ways), measure)
    for name in names:
        if name not in ways:
            way(name, Path(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
