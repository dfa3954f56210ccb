"""Time of a gallery: its search, of 10,015 images and of a million; how long one is made; the page with it.

    OMP_NUM_THREADS=1 python benchmarks/speed/gallery.py search GALLERY
    OMP_NUM_THREADS=1 python benchmarks/speed/gallery.py large GALLERY SCRATCH COUNT INDEX...
    python benchmarks/speed/gallery.py making HAM10000 SCRATCH
    python benchmarks/speed/gallery.py page GALLERY HAM10000

GALLERY is a gallery of HAM10000. INDEX is none, or faiss, usearch, hnswlib or lancedb where it is installed.
`large` draws images around those of the gallery that are not in the test part: each is a random combination
of an image and its 31 nearest, with their mean and covariance, so that dimension and clusters are the real
ones. One in four is a second photograph of the lesion before it.
"""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from os import sysconf
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter, process_time

import numpy as np
from serve_load import Client, form, start

from lesionwise.files import atomic_path
from lesionwise.gallery import index as index_of_many
from lesionwise.gallery.gallery import COLUMNS, Gallery, load_gallery
from lesionwise.gallery.index import Index
from lesionwise.gallery.shortlist import Shortlist

SPLIT = Path(__file__).resolve().parents[1] / "reference_split.csv"
NEIGHBOURS = 32
PHOTOGRAPHS = 4  # the second of four is of the lesion of the first
SAME_LESION = 0.9  # part of the first photograph in the second
QUERIES = 200
LESIONS = 10
ROUNDS = 300
FEW, MADE = 10, 310  # images of a folder that is predicted, and of which a gallery is made
CALLS = 3
PAGES = 100


def measured(work: Callable[[], object], rounds: int = ROUNDS) -> str:
    """Return the median and the least time of some work."""
    times, worked = [], []
    for _ in range(rounds):
        started, before = perf_counter(), process_time()
        work()
        times.append(perf_counter() - started)
        worked.append(process_time() - before)
    return (
        f"{median(times) * 1e3:.2f} ms (least {min(times) * 1e3:.2f}; processor {median(worked) * 1e3:.2f}, "
        f"least {min(worked) * 1e3:.2f})"
    )


def search(gallery_path: str) -> None:
    """Print what a search takes, and what else is done for a query."""
    gallery = load_gallery(gallery_path)
    rows = np.random.default_rng(0).permutation(len(gallery))[:64]
    units = np.array(gallery.embeddings[rows])
    lesions = [{gallery.columns["lesion_id"][row]} for row in rows]
    (near,) = gallery.nearest(units[:1], 5, leave_out=lesions[:1])
    name = gallery.columns["image_id"][0]
    print(f"{len(gallery):,} images, {gallery.embeddings.shape[1]} numbers each")
    for what, work, rounds in (
        ("one query, five lesions", lambda: gallery.nearest(units[:1], 5, leave_out=lesions[:1]), ROUNDS),
        ("8 queries", lambda: gallery.nearest(units[:8], 5, leave_out=lesions[:8]), ROUNDS),
        ("64 queries", lambda: gallery.nearest(units, 5, leave_out=lesions), 30),
        ("one product with all embeddings", lambda: units[:1] @ gallery.embeddings.T, ROUNDS),
        ("its own lesion, by the image id", lambda: gallery._lesions_called(name), ROUNDS),  # noqa: SLF001
        ("percentiles and texts", lambda: [gallery._entry(*one) for one in near], ROUNDS),  # noqa: SLF001
    ):
        print(f"| {what} | {measured(work, rounds)} |")
    missed = sum(
        {row for row, _ in found} != set(slowly(gallery, unit, own, 5))
        for unit, own, found in zip(units, lesions, gallery.nearest(units, 5, leave_out=lesions), strict=True)
    )
    print(f"queries of {len(units)} whose five lesions are not those of a comparison with all: {missed}")


def slowly(gallery: Gallery, unit: np.ndarray, away: set[str], count: int) -> Iterator[int]:
    """Yield the nearest image of each of the nearest lesions, by a comparison with all images."""
    met = set(away)
    for row in np.argsort(1 - gallery.embeddings @ unit, kind="stable"):
        lesion = gallery.columns["lesion_id"][row]
        if lesion not in met:
            met.add(lesion)
            yield row
        if len(met) == len(away) + count:
            return


def drawn(real: Gallery, folder: Path, count: int) -> tuple[np.ndarray, list[str]]:
    """Return as many embeddings around those of a gallery, in a file of the folder, and their lesions."""
    test = {row["image_id"] for row in csv.DictReader(SPLIT.open()) if row["part"] == "test"}
    own = np.array(real.embeddings[[name not in test for name in real.columns["image_id"]]])
    numbers = [count // len(own) + (row < count % len(own)) for row in range(len(own))]
    places = np.concatenate([np.arange(number) for number in numbers])
    lesions = [str(row - (place % PHOTOGRAPHS == 1)) for row, place in enumerate(places)]
    kept = folder / f"drawn-{count}-{real.about.model_sha256[:12]}.f32"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        with atomic_path(kept) as temporary, temporary.open("wb") as file:
            for row, number in enumerate(numbers):
                file.write(around(own, row, number, rng).tobytes())
    return np.memmap(kept, np.float32, "r").reshape(count, -1), lesions


def around(own: np.ndarray, row: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return some embeddings around one of several."""
    near = own[np.argpartition(-(own @ own[row]), NEIGHBOURS)[:NEIGHBOURS]]
    middle = near.mean(axis=0)
    steps = rng.normal(size=(number, NEIGHBOURS)).astype(np.float32) / np.sqrt(NEIGHBOURS - 1)
    new = np.maximum(0, middle + steps @ (near - middle))  # activations are not negative
    second = new[1::PHOTOGRAPHS]
    second *= 1 - SAME_LESION
    second += SAME_LESION * new[::PHOTOGRAPHS][: len(second)]
    return np.asarray(new / np.linalg.norm(new, axis=1, keepdims=True), np.float32)


def large(gallery_path: str, scratch: str, number: str, *names: str) -> None:
    """Print what indices of a large gallery find and cost, which all name images by their short forms."""
    real, folder, count = load_gallery(gallery_path), Path(scratch), int(number)
    embeddings, lesions = drawn(real, folder, count)
    columns = {name: [""] * count for name in COLUMNS} | {"lesion_id": lesions}
    index_of_many.LEAST = count + 1  # short forms alone
    started, worked = perf_counter(), process_time()
    shortlist = Shortlist.build(embeddings)
    print(f"short forms: {perf_counter() - started:.0f} s, processor {process_time() - worked:.0f} s")
    rows = np.sort(np.random.default_rng(1).permutation(count)[:QUERIES]).tolist()

    def gallery_with(index: Index | None) -> Gallery:
        listed = replace(shortlist, index=index)
        return Gallery(
            folder / "g", real.about, columns, embeddings, reference=real.reference, shortlist=listed
        )

    exact = gallery_with(None).neighbours(rows, LESIONS)
    nearest = np.median([near[0][1] for near in exact])
    print(f"nearest other lesion: {nearest:.3f}; in the real gallery {np.median(real.reference):.3f}")
    print("| index | recall@10 | a query | built in | processor | memory |")
    for name in names:
        before, started, worked = anonymous_mb(), perf_counter(), process_time()
        index = None if name == "none" else INDICES[name](shortlist.forms, folder)
        built, work, memory = perf_counter() - started, process_time() - worked, anonymous_mb() - before
        gallery = gallery_with(index)
        found = gallery.neighbours(rows, LESIONS)
        shared = [len(set(dict(one)) & set(dict(other))) for one, other in zip(found, exact, strict=True)]
        waiting = iter(rows)
        time = measured(lambda: gallery.neighbours([next(waiting)], LESIONS), QUERIES)  # noqa: B023
        recall = np.mean(shared) / LESIONS
        print(
            f"| {name} | {recall:.4f} | {time} | {built:.0f} s | {work:.0f} s | {memory:.0f} MB |", flush=True
        )


def anonymous_mb() -> float:
    """Return the memory of this process that no file backs."""
    return float(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) / 1e3


class Named:
    """An index, by a function that names forms near another one."""

    def __init__(self, ask: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self._ask = ask

    def candidates(self, form: np.ndarray, count: int) -> np.ndarray:
        return self._ask(form, count).astype(np.int64)


def usearch_index(forms: np.ndarray, _: Path) -> Named:
    from usearch.index import Index as Graph  # noqa: PLC0415 (compared, and otherwise not needed)

    graph = Graph(ndim=forms.shape[1], metric="l2sq", dtype="f16", expansion_add=64, expansion_search=400)
    graph.add(np.arange(len(forms)), forms, threads=1)
    return Named(lambda form, count: graph.search(form, count).keys)


def hnswlib_index(forms: np.ndarray, _: Path) -> Named:
    import hnswlib  # noqa: PLC0415 (the same)

    graph = hnswlib.Index("l2", forms.shape[1])
    graph.init_index(len(forms), M=16, ef_construction=100)
    graph.set_num_threads(1)
    graph.add_items(forms)
    graph.set_ef(400)
    return Named(lambda form, count: graph.knn_query(form, count)[0][0])


def lancedb_index(forms: np.ndarray, folder: Path) -> Named:
    import lancedb  # noqa: PLC0415 (the same)
    import pyarrow as pa  # noqa: PLC0415 (the same)

    width = -(-forms.shape[1] // 16) * 16
    padded = np.pad(forms, ((0, 0), (0, width - forms.shape[1])))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(padded.reshape(-1)), width)
    table = lancedb.connect(folder / "lancedb").create_table(
        "forms", pa.table({"row": np.arange(len(forms)), "vector": vectors}), mode="overwrite"
    )
    groups = round(2 * len(forms) ** 0.5)
    table.create_index(metric="l2", index_type="IVF_PQ", num_partitions=groups, num_sub_vectors=width // 2)

    def ask(form: np.ndarray, count: int) -> np.ndarray:
        query = table.search(np.pad(form, (0, width - len(form)))).nprobes(64).limit(count).select(["row"])
        return query.to_arrow()["row"].to_numpy()

    return Named(ask)


INDICES = {
    "faiss": lambda forms, _: Index.build(forms),
    "usearch": usearch_index,
    "hnswlib": hnswlib_index,
    "lancedb": lancedb_index,
}


def making(data: str, scratch: str) -> None:
    """Print the time of `predict` and of `gallery` on the same images, in turn, and without that of a few."""
    folders = {
        number: linked(Path(data), Path(scratch, f"{number}-images"), number) for number in (FEW, MADE)
    }
    took: dict[tuple[str, int], list[float]] = {}
    for number, folder in list(folders.items()) * CALLS:
        table, made = folder / "p.csv", str(folder / "g.safetensors")
        table.unlink(missing_ok=True)
        for name, command in (
            ("predict", ["predict", str(folder / "images"), "--out", str(table)]),
            ("gallery", ["gallery", str(folder), "--out", made, "--force"]),
            ("gallery --pictures", ["gallery", str(folder), "--out", made, "--force", "--pictures"]),
        ):
            before = getrusage(RUSAGE_CHILDREN)
            whole = [sys.executable, "-m", "lesionwise", *command, "--quiet"]
            subprocess.run(whole, check=True, capture_output=True)
            after = getrusage(RUSAGE_CHILDREN)
            worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            took.setdefault((name, number), []).append(worked)
    names = list(dict.fromkeys(name for name, _ in took))
    each = {name: (median(took[name, MADE]) - median(took[name, FEW])) / (MADE - FEW) for name in names}
    for name in names:
        few, more = median(took[name, FEW]), median(took[name, MADE])
        ratio = each[name] / each["predict"]
        print(f"| {name} | {few:.2f} s | {more:.2f} s | {each[name] * 1e3:.1f} ms | {ratio:.2f} |")


def linked(data: Path, folder: Path, number: int) -> Path:
    """Return a folder with the first images of a table, as links, and their rows."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    paths = {path.stem: path for path in data.rglob("*.jpg")}
    with (data / "HAM10000_metadata.csv").open() as file:
        rows = list(csv.DictReader(file))[:number]
    with (folder / "HAM10000_metadata.csv").open("w") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        link = folder / "images" / paths[row["image_id"]].name
        link.unlink(missing_ok=True)
        link.symlink_to(paths[row["image_id"]].resolve())
    return folder


def page(gallery_path: str, data: str) -> None:
    """Print the time of the page and of the API with and without a gallery, in turn."""
    bodies = [form(path.read_bytes()) for path in sorted(Path(data).rglob("*.jpg"))[:: 10_000 // PAGES]]
    services = [start("best"), start("best", "--gallery", gallery_path)]
    try:
        for where in ("/", "/predict"):
            times, worked = zip(*(ask_in_turn(services, bodies, where) for _ in range(2)), strict=True)
            without, with_it = np.array(times[1])  # the first round warms up
            more = np.median(with_it - without)
            print(
                f"| POST {where} | {np.median(without):.1f} | {np.median(with_it):.1f} | {more:+.1f} | "
                f"{without.min():.1f} | {with_it.min():.1f} | {worked[1][0]:.1f} | {worked[1][1]:.1f} |"
            )
    finally:
        for process, _ in services:
            process.terminate()
            process.wait(30)


def ask_in_turn(
    services: list[tuple["subprocess.Popen[str]", int]], bodies: list[bytes], where: str
) -> tuple[list[list[float]], list[float]]:
    """Return the milliseconds of each answer of each service, and the processor's of a mean answer."""
    clients, before = [Client(port) for _, port in services], [worked_ms(one.pid) for one, _ in services]
    times: list[list[float]] = [[] for _ in services]
    for body in bodies:
        for client, own in zip(clients, times, strict=True):
            started = perf_counter()
            client.ask(body, where)
            own.append((perf_counter() - started) * 1e3)
    after = [worked_ms(one.pid) for one, _ in services]
    return times, [(end - begin) / len(bodies) for begin, end in zip(before, after, strict=True)]


def worked_ms(pid: int) -> float:
    """Return the processor time of a process and of those that it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = [
        int(own) for path in Path(f"/proc/{pid}/task").glob("*/children") for own in path.read_text().split()
    ]
    return 1e3 * sum(map(int, fields[11:13])) / sysconf("SC_CLK_TCK") + sum(map(worked_ms, children))


if __name__ == "__main__":
    {"search": search, "large": large, "making": making, "page": page}[sys.argv[1]](*sys.argv[2:])
