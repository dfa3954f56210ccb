"""`lesionwise leakage`."""

from pathlib import Path
from typing import TYPE_CHECKING

from lesionwise.cli import options
from lesionwise.cli.console import print_result, show_work
from lesionwise.errors import require
from lesionwise.labels import LEAKY_STAMP
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.experiments.leakage_scores import Measurement, Outcome

_SHOWN = ("accuracy", "balanced_accuracy")
_FIRST = (
    "All four use the same recipe and the same images, but put aside the test images in different ways.\n"
    "The two ways that resample make the diagnoses equally common, in training and in test, and have more\n"
    "images and steps in an epoch, so compare balanced accuracies. Commonest alone is the accuracy of\n"
    "always giving the commonest diagnosis of the tested images. 95 % intervals by lesion."
)


def leakage(
    recipe: options.RecipeArgument,
    data: options.Data,
    out: options.Out = None,
    split: options.SplitFile = None,
    seed: options.Seed = 0,
    device: options.DeviceOption = "auto",
    workers: options.Workers = None,
    engine: options.EngineOption = "local",
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what a leak is worth: one recipe, four kinds of split. Three of them LEAK, on purpose."""
    from lesionwise.recipe import load_recipe

    resolved = load_recipe(recipe, set_ or ())
    require("torch")
    from lesionwise.experiments.leakage import measure_leakage
    from lesionwise.files import read_json
    from lesionwise.report.leakage import write_leakage_page
    from lesionwise.run_folder import RunFolder

    folder = out or Path("runs") / f"{Path(recipe).stem}-leakage"
    with show_work(device, workers=workers, engine=engine) as execution:
        outcomes = measure_leakage(resolved, data, out=folder, split=split, seed=seed, execution=execution)
    page = write_leakage_page(folder)
    text = f"{describe_outcomes(outcomes)}\n\nPage: {page}"
    value = {"out": str(folder), "page": str(page), **read_json(RunFolder(folder).leakage)}
    print_result(text, value, as_json=json)


def describe_outcomes(outcomes: "list[Outcome]") -> str:
    """Return one block of lines for each protocol."""
    blocks = [_FIRST]
    for outcome in outcomes:
        stamp = f"  {LEAKY_STAMP}" if outcome.leaky else ""
        share = outcome.tainted / outcome.own.images
        copies = (
            f", and {outcome.repeated:,} of them are copies of a training image" if outcome.repeated else ""
        )
        shows = counted(outcome.tainted, f"({share:.0%}) shows", f"({share:.0%}) show")
        lines = [
            f"{outcome.title}{stamp}",
            f"  of {counted(outcome.own.images, 'test image')} {shows} a lesion that was trained on{copies}",
            _line("what a notebook reports", outcome.own),
        ]
        if outcome.leaky:
            lines.append(_line("on its clean rest", outcome.clean))
        lines.append(_line("on lesions nobody saw", outcome.exam))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _line(title: str, measured: "Measurement") -> str:
    scores = [
        f"{name.replace('_', ' ')} {measured.scores[name]}" for name in _SHOWN if name in measured.scores
    ]
    note = [f"({measured.note})"] if measured.note else []
    if measured.baseline is not None:
        note.append(f"[commonest alone {measured.baseline:.3f}]")
    return f"  {title:24} {counted(measured.images, 'image'):>13}: {'  '.join([*scores, *note])}"
