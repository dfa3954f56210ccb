"""What a bundle's graph costs besides its network, and its pace beside another build, in turn in one run.

    git show c6165dc:src/lesionwise/weights/best.onnx > old.onnx
    OMP_NUM_THREADS=1 python benchmarks/speed/graph_overhead.py old.onnx src/lesionwise/weights/best.onnx

One thread, OpenVINO, fp32. The pace is counted in processor time, which a busy machine hardly changes, and
in wall time, the best of all rounds. The parts are OpenVINO's own times of the layers, each its least of all
rounds: layers with weights of the network are the network, whatever makes a picture ready for them or judges
it is not.
"""

import sys
from collections import Counter
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import onnx
import openvino as ov

from lesionwise.bundle.runtimes import start

BATCH, ROUNDS = 8, 30
OUTPUTS = ("probabilities", "logits", "embedding", "ood_score")


def pixels(content: bytes, count: int) -> dict[str, np.ndarray]:
    found = {}
    for port in onnx.load_from_string(content).graph.input:
        sides = [side.dim_value for side in port.type.tensor_type.shape.dim][1:]
        numbers = np.random.default_rng(0).integers(0, 256, (count, *sides), np.uint8)
        found[port.name] = numbers if port.name == "image" else np.zeros((count, *sides), np.float32)
    return found


def paces(contents: list[bytes]) -> list[tuple[float, float]]:
    """Return seconds of processor and of wall for one batch, the least of all rounds, for each graph."""
    runs = [start("openvino", content, OUTPUTS, precision="fp32", threads=1) for content in contents]
    inputs = [pixels(content, BATCH) for content in contents]
    least = [(np.inf, np.inf)] * len(runs)
    for _ in range(ROUNDS):
        for place, (run, given) in enumerate(zip(runs, inputs, strict=True)):
            before = process_time(), perf_counter()
            run(given)
            took = process_time() - before[0], perf_counter() - before[1]
            least[place] = tuple(map(min, least[place], took))
    return least


def parts(content: bytes) -> tuple[float, float, Counter]:
    """Return milliseconds for one image in the network and in all else, and all else by kind of layer."""
    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    request = core.compile_model(core.read_model(content), "CPU", settings).create_infer_request()
    given, least, kinds = pixels(content, 1), {}, {}
    for _ in range(10 * ROUNDS):
        request.infer(given)
        for layer in request.get_profiling_info():
            took = layer.real_time.total_seconds() * 1e3
            least[layer.node_name] = min(took, least.get(layer.node_name, np.inf))
            kinds[layer.node_name] = layer.node_type
    network, rest, by_kind = 0.0, 0.0, Counter()
    own = own_layers(content)
    for name, took in least.items():
        if name in own or kinds[name] == "GroupConvolution":
            network += took
        else:
            rest += took
            by_kind[kinds[name]] += took
    return network, rest, by_kind


def own_layers(content: bytes) -> set[str]:
    """Return the names of the layers that have weights of the network."""
    graph = onnx.load_from_string(content).graph
    weights = {node.name for node in graph.node if any("network" in name for name in node.input)}
    return weights | {f"{name}/WithoutBiases" for name in weights}


def main() -> None:
    contents = [Path(path).read_bytes() for path in sys.argv[1:]]
    print("| graph | processor time | wall | images/s of a core | network | all else | of the network |")
    print("|---|---|---|---|---|---|---|")
    kinds = []
    for path, content, (cpu, wall) in zip(sys.argv[1:], contents, paces(contents), strict=True):
        network, rest, by_kind = parts(content)
        kinds.append(by_kind)
        print(
            f"| {Path(path).name} | {cpu * 1e3:.1f} ms | {wall * 1e3:.1f} ms | {BATCH / cpu:.1f} "
            f"| {network:.2f} ms | {rest:.2f} ms | {rest / network:.1%} |"
        )
    for path, by_kind in zip(sys.argv[1:], kinds, strict=True):
        print(f"{Path(path).name}:", ", ".join(f"{kind} {took:.2f}" for kind, took in by_kind.most_common(8)))


if __name__ == "__main__":
    main()
