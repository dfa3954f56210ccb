"""Are the lesions that a gallery calls similar any use? Measured on images that the network never saw.

    python benchmarks/accuracy/gallery.py HAM10000 DERM7PT SCRATCH [MODEL] > benchmarks/accuracy/gallery_…md

The gallery holds the images of train and val of the reference split; the queries are the images of cal. No
lesion is in both, and no image of test is read. SCRATCH keeps what the network gives, by the hash of
the model, so only the first call takes minutes. The command prints the whole page.
"""

import platform
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import outsiders
import pandas as pd
from PIL import Image

from lesionwise.bundle.engine import BATCH, Engine, load_model
from lesionwise.data.pictures import Picture, find_pictures
from lesionwise.evaluation.compare import compare
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.scores.bootstrap import (
    Estimate,
    effective_lesions,
    fraction_estimate,
    percentile_interval,
    resample_weights,
)
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.evaluation.scores.ranking import binary_auc_score
from lesionwise.execution import usable_cores
from lesionwise.files import atomic_path
from lesionwise.gallery.gallery import COLUMNS, NOTHING_ALIKE, About, Gallery, unit_length
from lesionwise.labels import CODES, INDEX
from lesionwise.predict.files import answer_pictures
from lesionwise.predict.metadata import read_metadata_table

SPLIT = Path(__file__).resolve().parents[1] / "reference_split.csv"
KS = (1, 5, 10)
VOTERS = 10
RESAMPLES = 2_000
FLIPPED = 0.05
OF_EACH = 60  # outsiders
AT_ONCE = 1000  # pictures whose numbers are kept in one file


# What the network gives


def look(engine: Engine, pictures: Sequence[Picture], kept: Path, table: Path | None = None) -> dict:
    """Return ids, embeddings, probabilities and rejection scores of pictures, and keep them in files."""
    metadata = read_metadata_table(table, engine) if table else None
    parts = []
    for start in range(0, len(pictures), AT_ONCE):
        part = kept.with_name(f"{kept.name}-{start}.npz")
        if not part.exists():
            found = {"ids": [], "units": [], "prob": [], "ood": []}
            some = pictures[start : start + AT_ONCE]
            for batch, answers in answer_pictures(engine, some, metadata=metadata):
                found["ids"].append([picture.image_id for picture in batch.pictures])
                found["units"].append(unit_length(answers.embedding))
                found["prob"].append(answers.probabilities)
                found["ood"].append(answers.ood_score)
            with atomic_path(part) as temporary, temporary.open("wb") as file:
                np.savez(file, **{name: np.concatenate(values) for name, values in found.items()})
        parts.append(np.load(part))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def look_at_pixels(engine: Engine, pixels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of length 1 and rejection scores of decoded pictures."""
    batches = [engine.run(np.stack(pixels[start : start + BATCH])) for start in range(0, len(pixels), BATCH)]
    answers = engine.answers(batches)
    if answers.ood_score is None:
        sys.exit("Expected a bundle that rejects pictures but it has no ood_score.")
    return unit_length(answers.embedding), answers.ood_score


def strangers(data: Path, files: dict, size: tuple[int, int]) -> dict[str, list]:
    """Return pictures that are no lesion image, by kind, each with its source."""
    chosen = dict(list(files.items())[:OF_EACH])
    found = {
        "documents and screenshots": list(outsiders.documents(size, OF_EACH, 11)),
        "noise": list(outsiders.noise(size, OF_EACH, 12)),
        "healthy skin": list(
            outsiders.healthy_skin(chosen, data / "HAM10000_segmentations_lesion_tschandl.zip", size)
        ),
    }
    for name, alter in outsiders.ALTERATIONS.items():
        found[f"lesion images, {name}"] = []
        for lesion, path in chosen.values():
            with Image.open(path) as image:
                found[f"lesion images, {name}"].append((lesion, outsiders.through_jpeg(alter(image), size)))
    return found


# What is measured of it


def in_classes(
    values: np.ndarray, y: np.ndarray, groups: np.ndarray
) -> tuple[dict[str, Estimate], np.ndarray]:
    """Return the mean of a value by diagnosis and over diagnoses, and the latter in each resample."""
    classes = np.unique(y)
    drawn = np.concatenate(
        [
            np.stack([w[:, y == c] @ values[y == c] / w[:, y == c].sum(1) for c in classes], axis=1)
            for w in resample_weights(groups, y, resamples=RESAMPLES)
        ]
    )
    means = np.array([values[y == c].mean() for c in classes])
    lesions = [len(set(groups[y == c])) for c in classes]
    found = {
        CODES[c]: fraction_estimate(mean, drawn[:, place], lesions[place])
        for place, (c, mean) in enumerate(zip(classes, means.tolist(), strict=True))
    }
    found["mean"] = fraction_estimate(float(means.mean()), drawn.mean(1), effective_lesions(drawn, lesions))
    return found, drawn.mean(1)


def paired(value: float, drawn: np.ndarray) -> Estimate:
    low, high = percentile_interval(drawn)
    return Estimate(value, float(low), float(high))


def auroc(positive: np.ndarray, signals: dict[str, np.ndarray], groups: np.ndarray) -> tuple[dict, dict]:
    """Return the AUROC of each signal, and how much more each has than the first."""
    drawn = {name: [] for name in signals}
    for weights in resample_weights(groups, positive.astype(int), resamples=RESAMPLES // 2):
        for name, signal in signals.items():
            drawn[name].append(binary_auc_score(positive, signal, weights))
    drawn = {name: np.concatenate(parts) for name, parts in drawn.items()}
    values = {name: float(binary_auc_score(positive, signal)) for name, signal in signals.items()}
    first = next(iter(signals))
    found = {name: paired(values[name], drawn[name]) for name in signals}
    more = {name: paired(values[name] - values[first], drawn[name] - drawn[first]) for name in signals}
    return found, more


def signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})".replace(
        "-", "\N{MINUS SIGN}"
    )


def paragraph(*parts: str) -> None:
    print("\n".join(textwrap.wrap(" ".join(parts), 120, break_on_hyphens=False)) + "\n")


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print()


class Asked:
    """Queries of a gallery: their nearest lesions, as diagnoses (N, K) and distances (N, K)."""

    def __init__(self, gallery: Gallery, found: dict, y: np.ndarray, groups: np.ndarray) -> None:
        near = gallery.nearest(found["units"], max(KS), leave_out=[{group} for group in groups])
        dx = np.array([INDEX[code] for code in gallery.columns["dx"]])
        self.dx = dx[np.array([[row for row, _ in one] for one in near])]
        self.distance = np.array([[distance for _, distance in one] for one in near])
        self.percentile = np.array([gallery.percentile(one) for one in self.distance[:, 0]])
        self.y, self.groups, self.prob, self.ood = y, groups, found["prob"].astype(float), found["ood"]
        self.ids = found["ids"]
        first = pd.DataFrame(dict(gallery.columns)).drop_duplicates("lesion_id")
        self.prior = first["dx"].value_counts(normalize=True).reindex(CODES, fill_value=0).to_numpy()

    def shares(self) -> np.ndarray:
        """Return the part of the voters with each diagnosis, shape (N, C)."""
        return (self.dx[:, :VOTERS, None] == np.arange(len(CODES))).mean(axis=1)

    def votes(self) -> dict[str, np.ndarray]:
        """Return the probabilities of the classifier, of votes, and of both together."""
        vote = (VOTERS * self.shares() + self.prior) / (VOTERS + 1)
        even = vote / self.prior.clip(1e-3)
        even /= even.sum(axis=1, keepdims=True)
        prob = self.prob / self.prob.sum(axis=1, keepdims=True)
        return {
            "classifier": prob,
            f"vote of {VOTERS}": vote,
            f"vote of {VOTERS}, by rarity": even,
            "classifier and vote": (prob + vote) / 2,
            "classifier and vote by rarity": (prob + even) / 2,
        }


def show_precision(asked: Asked) -> None:
    right = asked.prob.argmax(1) == asked.y
    recall, drawn = in_classes(right.astype(float), asked.y, asked.groups)
    found = {k: in_classes((asked.dx[:, :k] == asked.y[:, None]).mean(1), asked.y, asked.groups) for k in KS}
    present = [c for c in range(len(CODES)) if (asked.y == c).any()]
    chance = {CODES[c]: asked.prior[c] for c in present} | {"mean": asked.prior[present].mean()}
    images = {CODES[c]: int((asked.y == c).sum()) for c in present} | {"mean": len(asked.y)}
    print_table(
        ["diagnosis", "images", "chance", *(f"precision at {k}" for k in KS), "recall of the classifier"],
        [
            [name, images[name], f"{chance[name]:.3f}", *(found[k][0][name] for k in KS), recall[name]]
            for name in chance
        ],
    )
    gap = paired(recall["mean"].value - found[1][0]["mean"].value, drawn - found[1][1])
    print(f"The classifier's mean recall is {signed(gap)} above the precision at 1 (paired, by lesion).\n")


def show_votes(asked: Asked) -> None:
    named = {
        name: Predictions(asked.ids, prob, asked.y, asked.groups) for name, prob in asked.votes().items()
    }
    compared = compare(list(named.items()), resamples=RESAMPLES).comparisons
    differences = {one.name: one.differences for one in compared}
    scores = {
        name: evaluate(asked.y, one.y_prob, asked.groups, resamples=RESAMPLES) for name, one in named.items()
    }
    shown = ("balanced_accuracy", "macro_auc", "log_loss", "ece")
    shown = [name for name in shown if name in scores["classifier"].overall]
    print_table(
        ["decides", *(name.replace("_", " ") for name in shown)],
        [[name, *(one.overall[score] for score in shown)] for name, one in scores.items()],
    )
    print("Less the classifier's, on the same resamples of lesions:\n")
    shown = [score for score in shown if score != "ece"]
    print_table(
        ["decides", *(name.replace("_", " ") for name in shown)],
        [[name, *(signed(own[score]) for score in shown)] for name, own in differences.items()],
    )


def show_siblings(units: np.ndarray, y: np.ndarray, groups: np.ndarray, asked: np.ndarray) -> None:
    """Print how often the nearest image shows the same lesion, where another photograph of it is there."""
    counts = pd.Series(groups).map(pd.Series(groups).value_counts()).to_numpy()
    rows = np.flatnonzero(asked & (counts > 1))
    likeness = units[rows] @ units.T
    likeness[np.arange(len(rows)), rows] = -1
    with_siblings = likeness.argmax(1)
    likeness[groups[rows][:, None] == groups[None]] = -1
    without = likeness.argmax(1)
    same = groups[with_siblings] == groups[rows]
    values = {
        "the nearest image shows the same lesion": same,
        "the nearest has the diagnosis, if photographs of the same lesion are allowed": y[with_siblings]
        == y[rows],
        "the nearest has the diagnosis, without them": y[without] == y[rows],
    }
    print_table(
        ["of the images with another photograph of their lesion", "mean over diagnoses", "of all"],
        [
            [name, in_classes(v.astype(float), y[rows], groups[rows])[0]["mean"], f"{v.mean():.3f}"]
            for name, v in values.items()
        ],
    )
    print(f"Images: {len(rows)}.\n")


def show_errors(asked: Asked) -> None:
    wrong = asked.prob.argmax(1) != asked.y
    agreeing = np.take_along_axis(asked.shares(), asked.prob.argmax(1)[:, None], axis=1)[:, 0]
    ranks = [pd.Series(signal).rank().to_numpy() for signal in (-asked.prob.max(1), -agreeing)]
    signals = {
        "probability of its answer": -asked.prob.max(1),
        "distance to the nearest lesion": asked.distance[:, 0],
        f"voters that agree, of {VOTERS}": -agreeing,
        "probability and voters (mean rank)": sum(ranks),
    }
    found, more = auroc(wrong, signals, asked.groups)
    kept = {}
    for name, signal in signals.items():
        surest = np.argsort(signal, kind="stable")[: round(0.8 * len(signal))]
        kept[name] = 1 - wrong[surest].mean()
    print_table(
        ["sign of an error", "AUROC", "more than its probability", "accuracy of the surest 80 %"],
        [[name, found[name], signed(more[name]), f"{kept[name]:.3f}"] for name in signals],
    )
    print(f"Accuracy of all: {1 - wrong.mean():.3f}.")
    far = asked.percentile >= NOTHING_ALIKE
    paragraph(
        f"Of {far.sum()} images ({far.mean():.3f}) nothing in the gallery is alike (percentile "
        "of the nearest "
        f"at or above {NOTHING_ALIKE}); the classifier is right in {1 - wrong[far].mean():.3f} "
        "of these and in "
        f"{1 - wrong[~far].mean():.3f} of the others."
    )


def show_strangers(gallery: Gallery, asked: Asked, kinds: dict) -> None:
    rows = []
    for kind, (sources, units, ood) in kinds.items():
        near = gallery.nearest(units, 1, leave_out=[()] * len(units))
        distance = np.array([one[0][1] for one in near])
        positive = np.r_[np.zeros(len(asked.y), bool), np.ones(len(ood), bool)]
        groups = np.r_[asked.groups, [f"outsider {source}" for source in sources]]
        signals = {
            "ood_score": np.r_[asked.ood, ood],
            "distance": np.r_[asked.distance[:, 0], distance],
        }
        found, more = auroc(positive, signals, groups)
        unlike = np.mean([gallery.percentile(one) >= NOTHING_ALIKE for one in distance])
        rows.append([kind, len(ood), *found.values(), signed(more["distance"]), f"{unlike:.2f}"])
    print_table(
        [
            "pictures",
            "number",
            "AUROC of `ood_score`",
            "AUROC of the distance",
            "difference",
            "nothing alike",
        ],
        rows,
    )


def show_labels(asked: Asked) -> None:
    """Print which of some wrong labels neighbours and probabilities find."""
    rng = np.random.default_rng(0)
    wrong = rng.random(len(asked.y)) < FLIPPED
    other = (asked.y + rng.integers(1, len(CODES), len(asked.y))) % len(CODES)
    label = np.where(wrong, other, asked.y)
    signals = {
        "its probability (cleanlab's self-confidence)": -asked.prob[np.arange(len(label)), label],
        f"its share of {VOTERS} neighbours": -asked.shares()[np.arange(len(label)), label],
    }
    found, more = auroc(wrong, signals, asked.groups)
    none = asked.shares()[np.arange(len(label)), label] == 0
    print_table(
        ["sign that a label is wrong", "AUROC", "more than its probability"],
        [[name, found[name], signed(more[name])] for name in signals],
    )
    print(
        f"D021 (no neighbour has the label) names {none.sum()} of {len(label)} images; it finds "
        f"{none[wrong].sum()} of the {wrong.sum()} wrong labels, and {none[~wrong].sum()} others.\n"
    )


def main() -> None:
    data, outside, scratch = map(Path, sys.argv[1:4])
    model = sys.argv[4:]
    engine = load_model(model[0] if model else None, streams=usable_cores())
    sha = engine.bundle.sha256
    scratch.mkdir(parents=True, exist_ok=True)
    split = pd.read_csv(SPLIT, dtype=str).set_index("image_id")
    table = pd.read_csv(data / "HAM10000_metadata.csv", dtype=str).set_index("image_id")
    split = split[split["part"] != "test"]
    pictures = {picture.image_id: picture for picture in find_pictures([str(data)])}
    wanted = [pictures[image] for image in split.index]
    ham = look(engine, wanted, scratch / f"ham-{sha[:12]}", data / "HAM10000_metadata.csv")
    split = split.loc[ham["ids"]]
    y = table["dx"].loc[ham["ids"]].map(INDEX).to_numpy()
    groups, cal = split["group"].to_numpy(str), (split["part"] == "cal").to_numpy()

    columns = dict.fromkeys(COLUMNS, [""] * int((~cal).sum()))
    columns |= {"image_id": ham["ids"][~cal].tolist(), "lesion_id": groups[~cal].tolist()}
    columns["dx"] = [CODES[c] for c in y[~cal]]
    about = About(
        model=engine.description.name, model_sha256=sha, precision=engine.precision, collection="HAM10000",
        created=datetime.now(UTC).date(), package_version="0",
    )  # fmt: skip
    gallery = Gallery(scratch / "gallery", about, columns, ham["units"][~cal])
    asked = Asked(gallery, {name: values[cal] for name, values in ham.items()}, y[cal], groups[cal])

    truth = pd.read_csv(outside / "truth.csv", dtype=str).set_index("image_id")["dx"]
    elsewhere = [one for one in find_pictures([str(outside / "images")]) if one.image_id in truth.index]
    derm = look(engine, elsewhere, scratch / f"derm7pt-{sha[:12]}")
    far = Asked(gallery, derm, truth.loc[derm["ids"]].map(INDEX).to_numpy(), derm["ids"])

    size = engine.description.input.size
    files = {
        image: (split["group"][image], Path(pictures[image].path))
        for image in split.index[cal][~split["group"][cal].duplicated()]
    }
    kinds = {
        kind: ([source for source, _ in drawn], *look_at_pixels(engine, [pixels for _, pixels in drawn]))
        for kind, drawn in strangers(data, files, size).items()
    }
    show(gallery, asked, far, kinds, (ham, y, groups, cal))


def show(gallery: Gallery, asked: Asked, far: Asked, kinds: dict, ham: tuple) -> None:
    found, y, groups, cal = ham
    top = in_classes((asked.dx[:, 0] == asked.y).astype(float), asked.y, asked.groups)[0]["mean"]
    today = datetime.now(UTC).date()
    print(f"""---
question: Are the lesions that a gallery calls similar any use?
command: python benchmarks/accuracy/gallery.py HAM10000 DERM7PT SCRATCH
result: the nearest lesion has the diagnosis in {top} of unseen images, mean over diagnoses
processor: two cores, {platform.machine()}
date: {today}
---

# Similar lesions of `{gallery.about.model}`
""")
    paragraph(
        f"The gallery holds the {len(gallery):,} images of `train` and `val` of the reference split",
        f"({gallery.lesions:,} lesions); the queries are the {len(asked.y)} images of `cal`",
        f"({len(set(asked.groups))} lesions). No lesion is in both. The network was trained on",
        "the gallery and",
        "has seen no query. Its temperature, its sets and its `ood_score` were fitted on `cal`, so the",
        "calibration of the classifier and the `ood_score` look a little too good here. Model",
        f"{gallery.about.model_sha256[:12]}, with age, sex and site; the embedding is of the",
        "image alone. Nothing",
        f"was tuned on these images: cosine distance, one picture a lesion, {VOTERS} voters.",
        "Intervals: 95 %,",
        f"{RESAMPLES:,} resamples of lesions. The command prints this page.",
    )
    print("## Precision\n")
    paragraph(
        "Of the k nearest lesions, the part that has the diagnosis of the query. Chance: of lesions of the",
        "gallery drawn at random.",
    )
    show_precision(asked)
    print("## Votes\n")
    paragraph(
        f"A vote is the part of the {VOTERS} nearest lesions with each diagnosis, with one more",
        "voter that knows",
        'how common each is. "By rarity" divides it by that. "And" is the mean of both probabilities.',
    )
    show_votes(asked)
    print("## The same lesion\n")
    paragraph(
        "What a search finds if other photographs of the lesion are in the gallery, as in a",
        "collection that is",
        "split by image. This gallery is the one above and `cal` itself, without the query.",
    )
    show_siblings(found["units"], y, groups, cal)
    print("## Errors of the classifier\n")
    show_errors(asked)
    print("## Pictures that are no lesion image\n")
    paragraph(
        "AUROC against `cal`. The last column is the part of the pictures for which the gallery has nothing",
        "alike.",
    )
    show_strangers(gallery, asked, kinds)
    print("## The percentile\n")
    parts = np.quantile(asked.percentile, [0.05, 0.25, 0.5, 0.75, 0.95])
    paragraph(
        "The percentile of the nearest lesion has these 5th, 25th, 50th, 75th and 95th",
        "percentiles over `cal`:",
        f"{', '.join(f'{part:.3f}' for part in parts)}. If the queries were as the images of the",
        "gallery, they",
        "would be 0.05, 0.25, 0.5, 0.75 and 0.95.",
    )
    print("## Wrong labels\n")
    paragraph(
        f"{FLIPPED:.0%} of the queries get a wrong label, drawn at random. Real wrong labels are",
        "harder: they",
        "look like what they are called.",
    )
    show_labels(asked)
    print("## Another camera: derm7pt\n")
    paragraph(
        f"The {len(far.y)} images of derm7pt against the same gallery; each counts as a lesion.",
        "No age, sex and",
        "site.",
    )
    show_precision(far)
    show_votes(far)
    parts = np.quantile(far.percentile, [0.25, 0.5, 0.75])
    paragraph(
        "The percentile of the nearest lesion has the quartiles",
        f"{', '.join(f'{part:.3f}' for part in parts)}.",
        f"For {(far.percentile >= NOTHING_ALIKE).mean():.3f} of the images nothing is alike.",
    )


if __name__ == "__main__":
    main()
