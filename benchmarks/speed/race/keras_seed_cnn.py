"""The notebooks' network and training in Keras, timed.

    python benchmarks/speed/race/keras_seed_cnn.py DIR SPLIT POLICY [augment]

POLICY is float32 or mixed_bfloat16. With `augment` images come through ImageDataGenerator, as in the
notebooks; without, `fit` has the arrays, which is the least that Keras can do. Prints images per second of
the second epoch.
Runs in an environment of its own: tensorflow-cpu, scipy, pandas, pillow.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import sys
from pathlib import Path
from time import perf_counter

import keras
import numpy as np
import pandas as pd
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from PIL import Image

CODES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
BATCH = 10
IMAGES = 2_000  # enough to time: two hundred steps an epoch


def read_train(folder: Path, split: Path) -> tuple[np.ndarray, np.ndarray]:
    parts = pd.read_csv(split).set_index("image_id")["part"]
    table = pd.read_csv(folder / "HAM10000_metadata.csv")
    table = table[table["image_id"].map(parts) == "train"].head(IMAGES)
    paths = {path.stem: path for path in folder.rglob("*.jpg")}
    images = np.stack([np.asarray(Image.open(paths[image]).resize((100, 75))) for image in table["image_id"]])
    images = (images - images.mean()) / images.std()
    return images.astype(np.float32), keras.utils.to_categorical(table["dx"].map(CODES.index), len(CODES))


def seed_cnn() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((75, 100, 3)),
            layers.Conv2D(32, 3, activation="relu", padding="same"),
            layers.Conv2D(32, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Conv2D(64, 3, activation="relu", padding="same"),
            layers.Conv2D(64, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(len(CODES), activation="softmax", dtype="float32"),
        ]
    )


class Clock(keras.callbacks.Callback):
    seconds: list[float]

    def on_train_begin(self, logs: object = None) -> None:
        self.seconds = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.started = perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(perf_counter() - self.started)


def main(folder: str, split: str, policy: str, *, augment: bool) -> None:
    keras.mixed_precision.set_global_policy(policy)
    x, y = read_train(Path(folder), Path(split))
    model = seed_cnn()
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    clock = Clock()
    if augment:
        generator = ImageDataGenerator(
            rotation_range=10, zoom_range=0.1, width_shift_range=0.1, height_shift_range=0.1
        )
        model.fit(generator.flow(x, y, batch_size=BATCH), epochs=2, verbose=0, callbacks=[clock])
    else:
        model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[clock])
    print(f"{len(x) / clock.seconds[1]:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:4], augment="augment" in sys.argv[4:])
