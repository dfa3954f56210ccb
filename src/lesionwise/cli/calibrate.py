"""`lesionwise calibrate`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lesionwise.cli import options
from lesionwise.cli.console import print_note, print_result
from lesionwise.cli.options import argument, option
from lesionwise.errors import LesionwiseError
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.evaluation.calibration.record import Calibration, OperatingPoint
    from lesionwise.export.calibrated import Fit


def calibrate(
    run: Annotated[Path, argument("RUN|BUNDLE", "A run folder, or an imported bundle with --data.")],
    scaling: Annotated[
        Literal["temperature", "vector"] | None,
        option(
            "--scaling",
            "Method that turns logits into probabilities; by default that of the run's recipe, or "
            "temperature for a bundle.",
        ),
    ] = None,
    sets: Annotated[
        Literal["lac", "aps"],
        option("--sets", "Rule of the prediction sets: by probability (lac), or down the ranking (aps)."),
    ] = "lac",
    coverage: Annotated[
        float,
        option(
            "--coverage",
            "Share of the lesions of each diagnosis whose sets are promised to contain that diagnosis.",
            min=0.5,
            max=0.999,
        ),
    ] = 0.9,
    sensitivity: Annotated[
        list[float] | None,
        option(
            "--sensitivity", "Least sensitivity of an operating point; may be repeated.", min=0.01, max=0.999
        ),
    ] = None,
    specificity: Annotated[
        list[float] | None,
        option(
            "--specificity", "Least specificity of an operating point; may be repeated.", min=0.01, max=0.999
        ),
    ] = None,
    data: options.LabelledFolder = None,
    truth: options.TruthOfPictures = None,
    by: options.LesionsOfPictures = "lesion",
    out: Annotated[
        Path | None, option("--out", "File to write the calibrated bundle to.", metavar="FILE")
    ] = None,
) -> None:
    """Fit temperature, prediction sets and thresholds: of a run on cal, of an imported bundle on --data."""
    from lesionwise.bundle.load import SHIPPED

    if str(run) in SHIPPED and not run.exists():
        raise LesionwiseError(
            f"{run}: is included in lesionwise and is calibrated already. Expected a run folder, or a bundle "
            'that was imported ("lesionwise bundle import").'
        )
    if run.is_file():
        if not (data and out):
            raise LesionwiseError(
                f"{run}: is a model file; pass labelled pictures with --data (and --truth), and --out for "
                "the calibrated bundle."
            )
        from lesionwise.evaluation.calibration.operating_points import DEFAULT_POINTS, both_questions
        from lesionwise.evaluation.runs.calibrate import calibrate as fit_calibration

        points = both_questions(sensitivity or [], specificity or []) or DEFAULT_POINTS
        fit = partial(
            fit_calibration, method=scaling or "temperature", rule=sets, coverage=coverage, points=points
        )
        calibrated = _calibrate_bundle(run, out, fit, data, truth, by_image=by == "image")
        print_result(f"{describe_calibration(calibrated)}\nBundle: {out}", calibrated.model_dump(mode="json"))
        return
    if data or truth or out or by == "image":
        raise LesionwiseError(
            "--data, --truth, --by and --out go with a model file; a run has its own cal part."
        )
    from lesionwise.run_folder import run_to_write

    with run_to_write(run, "run", "ensemble") as folder:  # before the slow imports
        from lesionwise.evaluation.calibration.operating_points import DEFAULT_POINTS, both_questions
        from lesionwise.evaluation.runs.calibrate import calibrate_run

        wished = both_questions(sensitivity or [], specificity or [])
        calibration = calibrate_run(
            folder, method=scaling, rule=sets, coverage=coverage, points=wished or DEFAULT_POINTS
        )
    stale = [path.name for path in (folder.scores, folder.report, folder.model_card) if path.exists()]
    stale += sorted(path.name for path in folder.path.glob("*.onnx"))
    if stale:
        print_note(
            f"These files were made with the earlier calibration: {', '.join(stale)}. Make them again, first "
            f'with "lesionwise evaluate {run}". Make ensembles of this run again, too; until then they are '
            "refused."
        )
    if calibration.stamp:
        print_note(
            f"{calibration.stamp}: the model was trained on lesions of cal, so sets and thresholds promise "
            "nothing."
        )
    print_result(describe_calibration(calibration), calibration.model_dump(mode="json"))


def _calibrate_bundle(
    path: Path, out: Path, fit: "Fit", data: Path, truth: Path | None, *, by_image: bool
) -> "Calibration":
    from lesionwise.bundle.engine import load_model
    from lesionwise.export.calibrated import calibrate_bundle, verify_imported
    from lesionwise.predict.labelled import predict_labelled

    engine = load_model(path)
    verify_imported(engine.bundle)
    predictions, notes = predict_labelled(engine, data, truth, by_image=by_image)
    print_note(*notes)
    return calibrate_bundle(engine, predictions, out, fit)


def describe_calibration(calibration: "Calibration") -> str:
    """Return what was fitted as lines of text."""
    from lesionwise.evaluation.calibration.conformal import least_lesions
    from lesionwise.evaluation.calibration.scaling import stops_at_limit

    scaling, sets = calibration.scaling, calibration.prediction_sets
    scaled = f"temperature {scaling.temperature:.3f}" if scaling.method == "temperature" else "vector scaling"
    lines = [
        f"cal: {counted(calibration.images, 'image')} of {counted(calibration.lesions, 'lesion')}",
        f"  {scaled}"
        + (", the limit of the search: the best value lies beyond it" * stops_at_limit(scaling)),
        f"  prediction sets ({sets.rule}) that hold the diagnosis of {100 * sets.coverage:g}% of lesions",
    ]
    for code, fitted in sets.classes.items():
        none = f"{fitted.quantile}: a promise needs {least_lesions(sets.coverage)}"
        limit = none if isinstance(fitted.quantile, str) else f"limit {fitted.quantile:.3f}"
        lines.append(f"    {code:6} {counted(fitted.lesions, 'lesion'):>11}   {limit}")
    return "\n".join([*lines, *map(_describe_point, calibration.operating_points)])


def _describe_point(point: "OperatingPoint") -> str:
    wished = f"  {point.question:9} {point.aim} at least {100 * point.at_least:g}%: "
    if isinstance(point.threshold, str):
        return f"{wished}no threshold, too few lesions"
    pair = {"sensitivity": point.sensitivity, "specificity": point.specificity}
    found = ", ".join(f"{name} {interval.value:.2f}" for name, interval in pair.items() if interval)
    return f"{wished}from {point.threshold:.3f} on ({found})"
