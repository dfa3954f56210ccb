"""The fourteen steps of the public HAM10000 notebooks, each as one call here.

    python examples/notebook.py DIR OUT [key=value …]

`DIR` is a data folder, `OUT` a new folder; `key=value` changes the recipe, such as `epochs=3`. Cells start at
`# %%`, which Jupyter, Spyder and VS Code recognise. `docs/from-a-notebook.md` compares each step with the
notebooks and says why some of it is done differently here.
"""

# %% 1. Libraries
import sys
from pathlib import Path

from lesionwise import read_dataset, train
from lesionwise.data.cache import open_cache
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.explore.explore import explore_folder
from lesionwise.explore.page import write_exploration
from lesionwise.labels import CODES, NAMES
from lesionwise.recipe import load_recipe
from lesionwise.report.html import write_report
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import write_split

folder, out, changes = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]

# %% 2. A dictionary from image to file, and names for the codes
data = read_dataset(folder)
files = dict(zip(data.table["image_id"], data.paths, strict=True))
print(f"{len(files)} images; {', '.join(f'{code}: {NAMES[code]}' for code in CODES)}")

# %% 3. The table
print(data.table.drop(columns="path").head().to_string())

# %% 4. Cleaning: a missing age stays missing, since a mean over all rows would carry test rows into training
print(f"{data.table['age'].isna().sum()} ages are missing.", *data.warnings, *data.notes, sep="\n")

# %% 5. Exploratory analysis: out/explore/explore.html
page = write_exploration(explore_folder(folder), out / "explore")
print(f"All figures and a summary of what stands out: {page}")

# %% 6. Loading and resizing: decoded once, in parallel, then mapped into memory
recipe = load_recipe("seed-cnn", changes)
pixels = open_cache(data, recipe.image_size).pixels
print(f"Pixels: {pixels.shape}, {pixels.dtype}")

# %% 7. Train and test, split by lesion; 10. a validation set, and a part cal for thresholds
split = make_split(data, seed=0)
write_split(split, out / "split.csv")
print(split.frame.groupby("part")["image_id"].size().to_string())

# %% 8. Normalisation: inside the network, with the statistics of train alone. 9. Labels: the class index
print(f"Labels: {data.y[:8]} of {CODES}")

# %% 11. The model, 12. its optimizer and learning-rate schedule: keys of the recipe
print(f"{recipe.model}: {recipe.optimizer}, lr {recipe.lr}, {recipe.schedule}, {recipe.epochs} epochs")

# %% 13. Training, with augmentation
run = train(recipe, folder, split=out / "split.csv", out=out / "run", seed=0)

# %% 14. Evaluation: curves, confusion matrix, error rate of each class, misclassified images
evaluation = evaluate_part(run, "val")
print(
    f"Balanced accuracy {evaluation.overall['balanced_accuracy']}", f"Report: {write_report(run)}", sep="\n"
)
