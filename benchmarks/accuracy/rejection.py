"""How well a run tells pictures that are no lesion images; prints the tables of rejection_*.md.

    pip install scikit-image
    OMP_NUM_THREADS=1 python benchmarks/accuracy/rejection.py RUN

RUN is a trained run whose data folder holds HAM10000 with its masks. The score is the one that `train`
or `bundle export` learnt; its cut-off is set on `cal`; `val` is what must pass. `test` is not read, except
of a run that was trained on `val` as well and evaluated with --final: nothing is chosen for it any more. The
sources of each kind of outsider are halved: scores were chosen on one half, the chosen one is reported on the
other, and in the run's `outsiders.json` for its model card.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import outsiders
import torch
from scipy.special import logsumexp, softmax

from lesionwise.evaluation.rejection import fit_members, rejecting_cutoff
from lesionwise.evaluation.scores.bootstrap import Estimate, fraction_estimate
from lesionwise.files import write_json
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network
from lesionwise.training.rejection import embed
from lesionwise.training.run import prepare_again

RESAMPLES = 1000
FEWEST_SOURCES = 5  # below that an interval says nothing
CHOSEN = "learnt on the embedding"
MASKS = "HAM10000_segmentations_lesion_tschandl.zip"
Score = Callable[["Pictures"], np.ndarray]


@dataclass(frozen=True)
class Pictures:
    source: np.ndarray
    embedding: np.ndarray
    logits: np.ndarray

    def part(self, rows: np.ndarray) -> "Pictures":
        return Pictures(*(values[rows] for values in vars(self).values()))

    def halves(self) -> tuple["Pictures", "Pictures"]:
        first = np.isin(self.source, np.unique(self.source)[::2])
        return self.part(first), self.part(~first)


class Bench:
    def __init__(self, run: RunFolder) -> None:
        self.recipe, self.data, _ = prepare_again(run)
        self.network = load_best_network(run, self.recipe)
        self.size = self.recipe.image_size
        self.judged = "test" if self.recipe.train_on_val else "val"
        if self.judged == "test" and not run.predictions("test").is_file():
            raise SystemExit(f"{run.path}: its test part was not looked at yet; evaluate it with --final.")
        self.rejection = fit_members([run])
        self.parts = {part: self.of_rows(part) for part in ("cal", self.judged)}
        self.y = {part: self.data.y[self.data.rows(part)] for part in self.parts}

    def of_rows(self, part: str) -> Pictures:
        rows = self.data.rows(part)
        return self.look(self.data.pixels, rows, self.data.group[rows])

    def look(self, pixels: np.ndarray, rows: np.ndarray, source: np.ndarray) -> Pictures:
        found = self.with_logits(source, embed(self.network, self.recipe, (pixels[row] for row in rows)))
        print(f"{len(rows)} pictures from {len(set(source))} sources", file=sys.stderr, flush=True)
        return found

    def with_logits(self, source: np.ndarray, embedding: np.ndarray) -> Pictures:
        with torch.inference_mode():
            logits = self.network.head.linear(torch.from_numpy(embedding)).numpy()
        return Pictures(source, embedding, logits)

    def drawn(self, pictures: Iterator[outsiders.Picture]) -> Pictures:
        sources, pixels = zip(*pictures, strict=True)
        return self.look(np.stack(pixels), np.arange(len(pixels)), np.array(sources))

    def lesion_files(self, step: int) -> dict[str, tuple[str, Path]]:
        rows, paths = self.data.rows(self.judged), self.data.dataset.paths
        return {
            str(self.data.image_id[i]): (str(self.data.group[i]), paths[i])
            for i in islice(rows, 0, None, step)
        }

    def outsiders(self) -> dict[str, Pictures]:
        o, size = outsiders, self.size
        kinds = {
            "photographs": lambda: o.photographs(o.PHOTOGRAPHS, size, 20, 0),
            "photographs in shades of skin": lambda: o.photographs(o.PHOTOGRAPHS, size, 12, 1, tinted=True),
            "textures": lambda: o.photographs(o.TEXTURES, size, 25, 0),
            "textures in shades of skin": lambda: o.photographs(o.TEXTURES, size, 25, 1, tinted=True),
            "pictures from science": lambda: o.photographs(o.SCIENCE, size, 25, 0),
            "scanned pages": lambda: o.photographs(o.SCANS, size, 25, 0),
            "faces in shades of skin": lambda: o.faces(size, 0),
            "documents and screenshots": lambda: o.documents(size, 120, 0),
            "noise and plain colours": lambda: o.noise(size, 120, 0),
            "healthy skin": lambda: o.healthy_skin(
                self.lesion_files(2), self.data.dataset.folder / MASKS, size
            ),
        }
        kinds |= {
            f"lesion images, {name}": lambda change=change: o.changed(self.lesion_files(4), change, size)
            for name, change in o.ALTERATIONS.items()
        }
        return {name: self.drawn(make()) for name, make in kinds.items()}

    def mild(self) -> dict[str, Pictures]:
        files = self.lesion_files(8)
        makes = {
            name: outsiders.changed(files, change, self.size) for name, change in outsiders.MILD.items()
        } | {"JPEG of quality 30": outsiders.changed(files, lambda image: image, self.size, quality=30)}
        return {name: self.drawn(make) for name, make in makes.items()}

    def scores(self) -> dict[str, Score]:
        return {
            "max-softmax": lambda pictures: 1 - softmax(pictures.logits, axis=1).max(axis=1),
            "energy": lambda pictures: -logsumexp(pictures.logits, axis=1),
            CHOSEN: lambda pictures: self.rejection.score(pictures.embedding),
        }

    def cutoff(self, name: str, score: Score) -> float:
        if name == CHOSEN:
            return self.rejection.cutoff
        return rejecting_cutoff(score(self.parts["cal"]), self.y["cal"])


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    return float(wins(inside, outside).mean())


def wins(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    return (outside[:, None] > inside) + 0.5 * (outside[:, None] == inside)


def auroc_estimate(
    inside: np.ndarray, lesion: np.ndarray, outside: np.ndarray, source: np.ndarray
) -> Estimate:
    """Resample sources of the outsiders and lesions of the rest, k - 1 of k each time."""
    rng, won = np.random.default_rng(0), wins(inside, outside)
    drawn = []
    for _ in range(RESAMPLES):
        weights = []
        for names in (source, lesion):
            _, index = np.unique(names, return_inverse=True)
            count = index.max() + 1
            weights.append(np.bincount(rng.integers(count, size=max(1, count - 1)), minlength=count)[index])
        total = weights[0].sum() * weights[1].sum()
        if total:
            drawn.append(weights[0] @ won @ weights[1] / total)
    return fraction_estimate(float(won.mean()), drawn, min(len(set(source)), len(set(lesion))))


def choosing(
    bench: Bench, scores: dict[str, Score], kinds: dict[str, Pictures], mild: dict[str, Pictures]
) -> None:
    print("## Choosing, on the first half of the sources\n")
    print("| score | val accepted | smallest AUROC | of | mean AUROC | mean rejected | least accepted |")
    print("|---|---|---|---|---|---|---|")
    halves = {kind: pictures.halves()[0] for kind, pictures in kinds.items()}
    for name, score in scores.items():
        inside, cut = score(bench.parts[bench.judged]), bench.cutoff(name, score)
        outside = {kind: score(pictures) for kind, pictures in halves.items()}
        areas = {kind: auroc(inside, found) for kind, found in outside.items()}
        worst = min(areas, key=lambda kind: areas[kind])
        rejected = np.mean([np.mean(found >= cut) for found in outside.values()])
        passed = min(np.mean(score(pictures) < cut) for pictures in mild.values())
        print(
            f"| {name} | {np.mean(inside < cut):.3f} | {areas[worst]:.3f} | {worst} "
            f"| {np.mean(list(areas.values())):.3f} | {rejected:.2f} | {passed:.2f} |"
        )


def reporting(
    run: RunFolder, bench: Bench, score: Score, kinds: dict[str, Pictures], mild: dict[str, Pictures]
) -> None:
    judged, cut = bench.parts[bench.judged], bench.rejection.cutoff
    inside = score(judged)
    print(f"\n## {CHOSEN}, on the other half\n")
    print("| kind | pictures | sources | AUROC (95 %) | rejected |\n|---|---|---|---|---|")
    rows = []
    halves = {kind: pictures.halves()[1] for kind, pictures in kinds.items()}
    for kind, half in sorted(halves.items(), key=lambda item: len(item[1].source)):
        outside = score(half)
        found: Estimate | str = auroc_estimate(inside, judged.source, outside, half.source)
        if len(set(half.source)) < FEWEST_SOURCES:
            found = f"{auroc(inside, outside):.3f}, too few sources"
        rejected = float(np.mean(outside >= cut))
        rows.append(
            {
                "kind": kind,
                "pictures": len(outside),
                "sources": len(set(half.source)),
                "auroc": str(found),
                "rejected": rejected,
            }
        )
        print(f"| {kind} | {len(outside)} | {len(set(half.source))} | {found} | {rejected:.2f} |")
    passing = {code: inside[bench.y[bench.judged] == index] for index, code in enumerate(CODES)}
    changed = {name: score(pictures) for name, pictures in mild.items()}
    found_inside = {"part": bench.judged, "images": len(inside), "accepted": float(np.mean(inside < cut))}
    passed = {"diagnoses": accepted(passing, cut), "changed": accepted(changed, cut)}
    write_json(run.outsiders, {"kinds": rows, **found_inside, **passed})
    print("\n## Lesion images that pass\n\n| images | count | accepted |\n|---|---|---|")
    print(f"| {bench.judged} | {len(inside)} | {np.mean(inside < cut):.3f} |")
    for row in (*passed["diagnoses"], *passed["changed"]):
        print(f"| {bench.judged}, {row['kind']} | {row['pictures']} | {row['accepted']:.3f} |")


def accepted(scores: dict[str, np.ndarray], cut: float) -> list[dict[str, object]]:
    return [
        {"kind": kind, "pictures": len(score), "accepted": float(np.mean(score < cut))}
        for kind, score in scores.items()
    ]


def main() -> None:
    run = RunFolder(Path(sys.argv[1]))
    bench = Bench(run)
    kinds, mild, scores = bench.outsiders(), bench.mild(), bench.scores()
    if bench.judged == "val":
        choosing(bench, scores, kinds, mild)
    reporting(run, bench, scores[CHOSEN], kinds, mild)


if __name__ == "__main__":
    main()
