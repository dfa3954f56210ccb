"""Miniature folders in the form in which each collection is handed out, with the same drawn lesions."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from pyarrow import parquet as pq

from lesionwise.data.known_lesions import known_lesions
from lesionwise.labels import CODES

LESIONS = 84  # twelve of each diagnosis, which a split needs
_SITES = ("posterior torso", "lower extremity", "head/neck")
FULL = {
    "akiec": "actinic_keratoses",
    "bcc": "basal_cell_carcinoma",
    "bkl": "benign_keratosis-like_lesions",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic_Nevi",
    "vasc": "vascular_lesions",
}
ARCHIVE = {
    "akiec": ("Indeterminate", "Indeterminate epidermal proliferations", "Solar or actinic keratosis"),
    "bcc": ("Malignant", "Malignant adnexal epithelial proliferations - Follicular", "Basal cell carcinoma"),
    "bkl": ("Benign", "Benign epidermal proliferations", "Seborrheic keratosis"),
    "df": ("Benign", "Benign soft tissue proliferations - Fibro-histiocytic", "Dermatofibroma"),
    "mel": ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma in situ"),
    "nv": ("Benign", "Benign melanocytic proliferations", "Nevus"),
    "vasc": ("Benign", "Benign soft tissue proliferations - Vascular", "Hemangioma"),
}


def rows() -> pd.DataFrame:
    """Return the images: one of each lesion, and a second of every third."""
    table: list[tuple[str, ...]] = []
    for lesion in range(LESIONS):
        for _ in range(2 if lesion % 3 == 0 else 1):
            site = _SITES[lesion % len(_SITES)]
            table.append(
                (f"ISIC_9{len(table):06d}", f"IL_{lesion:07d}", CODES[lesion % 7], "55", "male", site)
            )
    return pd.DataFrame(table, columns=["image_id", "lesion_id", "dx", "age", "sex", "site"])


def jpeg(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


def draw(folder: Path, names: "pd.Series[str]", suffix: str = ".jpg") -> None:
    for number, name in enumerate(names):
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))


def hot(table: pd.DataFrame, names: dict[str, str], key: str = "image_id") -> pd.DataFrame:
    columns = {theirs: (table["dx"] == code).astype(float) for code, theirs in names.items()}
    return pd.DataFrame({key: table[key], **columns})


def kaggle(folder: Path) -> Path:
    table = rows()
    draw(folder / "HAM10000_images_part_1", table["image_id"])
    draw(folder / "ham10000_images_part_1", table["image_id"].head(9))
    draw(folder / "HAM10000_segmentations_lesion_tschandl", table["image_id"] + "_segmentation", ".png")
    draw(folder / "ISIC2018_Task3_Test_Images", pd.Series(["ISIC_0034524", "ISIC_0034525"]))
    ours = table.rename(columns={"site": "localization"}).assign(dx_type="histo")
    ours.to_csv(folder / "HAM10000_metadata.csv", index=False)
    return folder / "HAM10000_metadata.csv"


def dataverse(folder: Path) -> Path:
    table = rows()
    draw(folder / "HAM10000_images_part_1", table["image_id"])
    path = folder / "HAM10000_metadata.tab"
    table.rename(columns={"site": "localization"}).to_csv(path, sep="\t", index=False, quoting=2)
    return path


def isic_2018(folder: Path) -> Path:
    table = rows()
    part = "ISIC2018_Task3_Training"
    draw(folder / f"{part}_Input" / f"{part}_Input", table["image_id"])
    truth = hot(table.rename(columns={"image_id": "image"}), {code: code.upper() for code in CODES}, "image")
    (folder / f"{part}_GroundTruth").mkdir()
    path = folder / f"{part}_GroundTruth" / f"{part}_GroundTruth.csv"
    truth.to_csv(path, index=False)
    groups = table[["image_id", "lesion_id"]].rename(columns={"image_id": "image"})
    groups.to_csv(folder / f"{part}_LesionGroupings.csv", index=False)
    return path


def isic_2019(folder: Path) -> Path:
    table = rows()
    further = pd.DataFrame({"image_id": ["ISIC_9900001", "ISIC_9900002"], "lesion_id": ["BCN_1", "BCN_2"]})
    both = pd.concat([table, further.assign(dx=["scc", "unk"], age="", sex="", site="")], ignore_index=True)
    draw(folder / "ISIC_2019_Training_Input", both["image_id"])
    names = {code: code.upper() for code in CODES} | {"akiec": "AK", "scc": "SCC", "unk": "UNK"}
    path = folder / "ISIC_2019_Training_GroundTruth.csv"
    hot(both.rename(columns={"image_id": "image"}), names, "image").to_csv(path, index=False)
    facts = both.rename(columns={"image_id": "image", "age": "age_approx", "site": "anatom_site_general"})
    facts.drop(columns="dx").to_csv(folder / "ISIC_2019_Training_Metadata.csv", index=False)
    return path


def milk10k(folder: Path) -> Path:
    table = rows()
    part = "MILK10k_Training"
    lesions = table.drop_duplicates("lesion_id")
    others = pd.DataFrame({"lesion_id": ["IL_9"], "dx": ["sccka"], "image_id": ["ISIC_9900001"]})
    names = {code: code.upper() for code in CODES} | {"sccka": "SCCKA", "inf": "INF"}
    path = folder / f"{part}_GroundTruth.csv"
    clinical = lesions.assign(image_id="C" + lesions["image_id"], image_type="clinical: close-up")
    images = pd.concat(
        [table.assign(image_type="dermoscopic"), others.assign(image_type="dermoscopic"), clinical]
    )
    draw(folder / f"{part}_Input", images["lesion_id"] + "/" + images["image_id"])
    hot(pd.concat([lesions, others]), names, "lesion_id").to_csv(path, index=False)
    facts = images.rename(columns={"image_id": "isic_id", "age": "age_approx"}).drop(columns="dx")
    facts.to_csv(folder / f"{part}_Metadata.csv", index=False)
    return path


def bcn20000(folder: Path) -> Path:
    table = rows()
    draw(folder / "BCN_20k_train", table["image_id"])
    names = {code: code.upper() for code in CODES} | {"akiec": "AK"}
    ours = pd.DataFrame(
        {
            "bcn_filename": table["image_id"] + ".jpg",
            "age_approx": table["age"],
            "anatom_site_general": table["site"],
            "diagnosis": table["dx"].map(names),
            "lesion_id": table["lesion_id"],
            "sex": table["sex"],
            "split": "train",
        }
    )
    unlabelled = pd.DataFrame(
        {"bcn_filename": ["ISIC_9900001.jpg"], "lesion_id": ["BCN_1"], "split": ["test"]}
    )
    draw(folder / "BCN_20k_test", pd.Series(["ISIC_9900001"]))
    path = folder / "bcn20000_metadata.csv"
    pd.concat([ours, unlabelled]).to_csv(path, index=False)
    return path


def archive(folder: Path) -> Path:
    table = rows()
    levels = pd.DataFrame(
        [ARCHIVE[dx] for dx in table["dx"]], columns=[f"diagnosis_{level}" for level in (1, 2, 3)]
    )
    ours = pd.DataFrame(
        {
            "isic_id": table["image_id"],
            "attribution": "Anonymous",
            "copyright_license": "CC-BY",
            "age_approx": table["age"],
            "anatom_site_general": table["site"],
            **levels,
            "image_type": "dermoscopic",
            "lesion_id": table["lesion_id"],
            "sex": table["sex"],
        }
    )
    others = ours.head(3).assign(isic_id=["ISIC_9900001", "ISIC_9900002", "ISIC_9900003"])
    others["image_type"] = ["clinical: close-up", "dermoscopic", "dermoscopic"]
    others["diagnosis_3"] = ["Nevus", "Porokeratosis", ""]
    both = pd.concat([ours, others], ignore_index=True)
    draw(folder, both["isic_id"])
    both.to_csv(folder / "metadata.csv", index=False)
    return folder / "metadata.csv"


def imagefolder(folder: Path) -> Path:
    table = rows()
    for part, own in (("train", table.iloc[:80]), ("test", table.iloc[80:])):
        draw(folder / part, own["image_id"])
        ours = pd.DataFrame({"file_name": own["image_id"] + ".jpg", "dx": own["dx"].map(FULL)})
        ours.assign(lesion_id=own["lesion_id"], age=own["age"], sex=own["sex"]).to_csv(
            folder / part / "metadata.csv", index=False
        )
    return folder / "train" / "metadata.csv"


def class_folders(folder: Path) -> Path:
    table = rows()
    draw(folder, table["dx"].map(FULL) + "/" + table["image_id"], ".jfif")
    table[["image_id", "lesion_id"]].to_csv(folder / "lesions.csv", index=False)
    return folder / "lesions.csv"


def derm12345(folder: Path) -> Path:
    table = rows()
    theirs = dict(zip(CODES, ("ak", "bcc", "sk", "df", "lmm", "jd", "angk"), strict=True))
    draw(folder / "derm12345_train_part_1", table["dx"].map(theirs) + "/" + table["image_id"])
    ours = pd.DataFrame({"image_id": table["image_id"], "label": table["dx"].map(theirs), "sub_class": "x"})
    ours.iloc[:90].to_csv(folder / "derm12345_metadata_train.tab", sep="\t", index=False)
    ours.iloc[90:].to_csv(folder / "derm12345_metadata_test.tab", sep="\t", index=False)
    table[["image_id", "lesion_id"]].to_csv(folder / "lesions.csv", index=False)
    return folder / "lesions.csv"


def parquet(folder: Path) -> Path:
    table = rows()
    images = [{"bytes": jpeg(row), "path": f"{name}.jpg"} for row, name in enumerate(table["image_id"])]
    columns = {"image": images, "label": [CODES.index(dx) for dx in table["dx"]]}
    packed = pa.table(columns | {"lesion_id": table["lesion_id"].tolist(), "age": table["age"].tolist()})
    features = {"label": {"names": [FULL[code] for code in CODES], "_type": "ClassLabel"}}
    packed = packed.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / "data").mkdir(parents=True)
    pq.write_table(packed, folder / "data" / "train-00000-of-00001.parquet")
    return folder / "data" / "train-00000-of-00001.parquet"


def dermamnist(folder: Path, *, named: bool = True) -> Path:
    known = known_lesions()
    own = pd.concat([known[known["dx"] == code].head(30) for code in CODES]).sample(frac=1, random_state=0)
    parts = {"train": own.iloc[:150], "val": own.iloc[150:170], "test": own.iloc[170:]}
    packed = {}
    for part, rows_ in parts.items():
        draws = np.random.default_rng(0).integers(0, 256, (len(rows_), 28, 28, 3), np.uint8)
        packed[f"{part}_images"] = draws
        packed[f"{part}_labels"] = np.array([[CODES.index(dx)] for dx in rows_["dx"]], np.uint8)
    folder.mkdir(parents=True)
    np.savez(folder / "dermamnist.npz", allow_pickle=False, **packed)
    if named:
        list_ = pd.concat(
            [
                pd.DataFrame(
                    {"split": part, "index": range(len(rows_)), "image_id": rows_["image_id"].tolist()}
                )
                for part, rows_ in parts.items()
            ]
        )
        list_.to_csv(folder / "dermamnist_split_info.csv", index=False)
    return folder / "dermamnist.npz"


HELD: dict[str, Callable[[Path], Path]] = {
    "kaggle": kaggle,
    "dataverse": dataverse,
    "isic 2018": isic_2018,
    "isic 2019": isic_2019,
    "MILK10k": milk10k,
    "BCN20000": bcn20000,
    "ISIC archive": archive,
    "imagefolder": imagefolder,
    "class folders": class_folders,
    "DERM12345": derm12345,
    "parquet": parquet,
    "DermaMNIST": dermamnist,
}
