from collections.abc import Mapping

import pytest

from lesionwise.experiments.sharing import task_share

CPU, GPU = {"CPU": 16.0}, {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("nodes", "device", "share"),
    [
        ([CPU], "auto", {"num_cpus": 16}),
        ([CPU, {"CPU": 4.0}], "auto", {"num_cpus": 4}),
        ([{"memory": 1.0}, CPU], "cpu", {"num_cpus": 16}),  # a head that computes nothing
        ([GPU], "auto", {"num_gpus": 1, "num_cpus": 8}),
        ([CPU, GPU], "cuda", {"num_gpus": 1, "num_cpus": 8}),
        ([GPU], "cpu", {"num_cpus": 32}),
        ([{"CPU": 2.0, "GPU": 4.0}], "auto", {"num_gpus": 1, "num_cpus": 1}),
        ([], "auto", {"num_cpus": 1}),
    ],
)
def test_a_run_gets_a_whole_machine_or_a_gpu_with_its_part_of_the_processor(
    nodes: list[Mapping[str, float]], device: str, share: dict[str, float]
) -> None:
    assert task_share(nodes, device) == share
