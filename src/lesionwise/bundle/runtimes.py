"""The two runtimes for graphs: OpenVINO, and ONNX Runtime as an extra.

Here: from the bytes of a graph to a function on arrays; speed settings. Not here: checking the bytes
(`load`), images and answers (`engine`).
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np

from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.description import Precision
from lesionwise.bundle.int8 import Ranges, round_convolutions
from lesionwise.bundle.texts import printable
from lesionwise.errors import BundleError, LesionwiseError, import_extra
from lesionwise.execution import usable_cores

Runtime = Literal["openvino", "onnxruntime"]
RUNTIMES: Final[tuple[Runtime, ...]] = ("openvino", "onnxruntime")
Arrays = dict[str, Float32s]
Input = Pixels | Float32s
Inputs = Mapping[str, Input]
Run = Callable[[Inputs], Arrays]
NO_RANGES: Final[Ranges] = MappingProxyType({})

_FIRST: Final = threading.Lock()
"""The first call of each thread runs alone. OpenVINO's bindings initialise numpy in the first call of all,
and two threads that do this at the same time deadlock: one holds Python's lock, the other OpenVINO's."""
_TELEMETRY: Final = "openvino_telemetry"
_AT_ONCE: Final = 2  # images of a batch: the activations of more do not fit into a core's cache
_ONLY_ERRORS: Final = 3  # of ONNX Runtime's log levels


def start(
    runtime: Runtime,
    content: bytes,
    names: tuple[str, ...],
    *,
    precision: Precision,
    threads: int | None,
    streams: int = 1,
    ranges: Ranges = NO_RANGES,
) -> Run:
    """Return the function that runs a graph, from arrays by input to arrays by output.

    Args:
        precision: Number format; ONNX Runtime's CPU kernels have no bf16 and use fp32.
        ranges: Ranges of the inputs of convolutions for int8; without any, the graph runs unchanged.
        threads: Number of cores; all if None.
        streams: Number of calls from different threads that are computed at the same time. They share the
            cores. One call is fastest on all cores, but a core for each call gives more answers per second:
            the cores of one call wait for each other after every layer.

    Raises:
        BundleError: If the runtime cannot build the graph; the function raises it if it cannot be run.
    """
    with _refusal(f"{runtime} cannot build its graph"):
        if runtime == "openvino":
            run = _start_openvino(content, names, precision, threads, streams, ranges)
        else:
            run = _start_onnxruntime(content, names, threads, streams)

    def guarded(inputs: Inputs) -> Arrays:
        with _refusal(f"{runtime} cannot run its graph"):
            return run(inputs)

    return guarded


@contextmanager
def _refusal(what: str) -> Iterator[None]:
    """Turn a runtime's errors into ours, with the last line of its reason."""
    try:
        yield
    except LesionwiseError:  # an extra that is missing or damaged
        raise
    except Exception as error:  # the errors of ONNX Runtime have no common base
        reason = (str(error).strip().splitlines() or ["it gives no reason"])[-1]
        raise BundleError(f"{what}: {printable(reason)}") from error


def _start_openvino(
    content: bytes,
    names: tuple[str, ...],
    precision: Precision,
    threads: int | None,
    streams: int,
    ranges: Ranges,
) -> Run:
    openvino = import_openvino()
    rounded = precision == "int8" and ranges  # the other layers run in bf16 if the processor can
    settings: dict[str, Any] = {
        **({"NUM_STREAMS": streams} if streams > 1 else {"PERFORMANCE_HINT": "LATENCY"}),
        # By default OpenVINO computes in bf16 wherever the processor can, which changes answers.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" or rounded else "f32",
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }
    core = openvino.Core()
    model = core.read_model(content)
    if rounded:
        round_convolutions(model, ranges)
    compiled = core.compile_model(model, "CPU", settings)
    own = threading.local()  # each thread needs its own request

    def run(inputs: Inputs) -> Arrays:
        if not hasattr(own, "request"):
            with _FIRST:
                own.request = compiled.create_infer_request()
                return infer(inputs)
        return infer(inputs)

    def infer(inputs: Inputs) -> Arrays:
        count = len(inputs["image"])
        found = []
        for start in range(0, count, _AT_ONCE):
            some = {name: values[start : start + _AT_ONCE] for name, values in inputs.items()}
            results = own.request.infer(some)
            found.append([np.array(results[place]) for place in range(len(names))])
        return {
            name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)
        }

    return run


def _start_onnxruntime(content: bytes, names: tuple[str, ...], threads: int | None, streams: int) -> Run:
    onnxruntime = import_extra("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = max(1, (threads or usable_cores()) // streams)
    # A fallback would only try the same again, and print to standard output.
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    return lambda inputs: dict(zip(names, session.run(list(names), dict(inputs)), strict=True))


def import_openvino() -> Any:  # noqa: ANN401 (a module without types)
    """Import OpenVINO without its telemetry, which is on by default and sends an event at import."""
    modules: dict[str, Any] = sys.modules
    found = modules.get(_TELEMETRY)
    modules[_TELEMETRY] = None  # the documented way to make an import fail
    try:
        import openvino  # noqa: PLC0415 (a quarter of a second, and only after telemetry is out of the way)
    finally:
        del modules[_TELEMETRY]
        if found is not None:
            modules[_TELEMETRY] = found
    return openvino
