"""Tables of text about images as people have them, and one set of column names for every command.

Here: what separates the cells, the encoding, and what a column is called elsewhere. Not here: what the
values mean (`diagnoses`), files that pack a table with its images (`tables`), and the tables of a split,
which the package writes for itself.

Rows are streamed with the standard library alone, so that `predict` needs no pandas.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

from lesionwise.errors import DataError
from lesionwise.wording import counted

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "image_id": (
        *("image_id", "image", "isic_id", "image_name", "img_id", "bcn_filename", "filename", "file_name"),
        *("filepath", "image_path", "file", "id", "", "unnamed: 0"),  # pandas writes an index without a name
    ),
    "path": ("path",),
    "lesion_id": ("lesion_id",),
    "dx": ("dx", "y_true"),
    "dx_type": ("dx_type", "diagnosis_confirm_type"),
    "age": ("age", "age_approx"),
    "sex": ("sex", "gender"),
    "localization": ("localization", "anatom_site_general", "anatom_site_general_challenge", "site"),
    "license": ("license", "copyright_license"),
    "collection": ("collection",),
}
"""What a column is called, by our name, in any case; the likeliest first."""
ID_NAMES: Final = "image_id, image, isic_id, image_name or img_id"
"""Names that the column of ids may have, as messages list them."""
SITES: Final = {
    "anterior torso": "trunk",
    "lateral torso": "trunk",
    "torso": "trunk",
    "posterior torso": "back",
    "palms/soles": "acral",
    "lower_extremity": "lower extremity",
    "upper_extremity": "upper extremity",
}
"""Sites of the ISIC archive and of MILK10k, with HAM10000's word for each."""
WIDE_SITES: Final = ("head/neck", "head_neck_face", "oral/genital")
"""Their sites that cover several of HAM10000's, so that none of those can be passed to a model."""
_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DELIMITERS: Final = ",\t;"


class Table(ABC):
    """A table whose header was read.

    Attributes:
        names: The file's name of each column of `COLUMNS` that it has, by our name.
    """

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path = path
        self.header = tuple(header)
        self.names = names_of(header)

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the line number and the cells of each row by column; columns of `COLUMNS` have our names."""
        ours = {theirs: name for name, theirs in self.names.items()}
        columns = [ours.get(name, name) for name in self.header]
        for line, cells in self._cells():
            if any(cells) or len(cells) == 1:
                filled = [*cells, *[""] * (len(columns) - len(cells))]
                yield line, {name: _tidy(name, cell) for name, cell in zip(columns, filled, strict=False)}

    def frame(self, *, texts: Collection[str] | None = None, rename: bool = True) -> "pd.DataFrame":
        """Return the whole table, indexed by line number, the header being 1; an empty cell is "".

        Args:
            texts: Columns that are read as text though they may look like numbers; all if left out. A cell
                of another column that is empty is missing.
            rename: Use our names for the columns of `COLUMNS`.
        """
        import pandas as pd  # noqa: PLC0415 (which `predict` lacks)

        table = self._frame(texts)
        table.index = pd.RangeIndex(2, len(table) + 2)
        table = table[~(table.isna() | (table == "")).all(axis=1)]
        for name in ("image_id", "path", "localization"):
            theirs = self.names.get(name)
            if theirs is not None and table[theirs].dtype.kind not in "iufb":
                table = table.assign(**{theirs: [_tidy(name, str(cell)) for cell in table[theirs]]})
        ours = {theirs: name for name, theirs in self.names.items()}
        return table.rename(columns=ours) if rename else table

    @abstractmethod
    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the cells of each row."""

    @abstractmethod
    def _frame(self, texts: Collection[str] | None) -> "pd.DataFrame":
        """Return the columns as the file spells them; an empty cell of text is ""."""


class TextTable(Table):
    """A file of text: cells between commas, semicolons or tabs; UTF-8, or UTF-16 with its mark."""

    def __init__(self, path: Path) -> None:
        with _blamed(path):
            with path.open("rb") as file:
                start = file.read(64)
            self._encoding = _encoding_of(start)
            with path.open(encoding=self._encoding, newline="") as text:
                first = text.readline()
        self._delimiter = max(_DELIMITERS, key="".join(first.split('"')[::2]).count)  # outside quotes
        with _blamed(path):
            cells = next(csv.reader([first], delimiter=self._delimiter, skipinitialspace=True), [])
        header = [cell.strip() for cell in cells]
        if not any(header):
            raise DataError(f"{path}: cannot be read as a table: it or its first line is empty.")
        verify_header(path, header)
        super().__init__(path, header)

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the cells of each row; empty cells after the last column are allowed."""
        with _blamed(self.path), self.path.open(encoding=self._encoding, newline="") as file:
            reader = csv.reader(file, delimiter=self._delimiter, skipinitialspace=True)
            next(reader)
            for cells in reader:
                if any(cells[len(self.header) :]):
                    raise DataError(
                        f"{self.path}: row {reader.line_num} has {counted(len(cells), 'cell')} but the "
                        f"header has {len(self.header)}. Put quotes around text that holds a comma."
                    )
                yield reader.line_num, cells

    def _frame(self, texts: Collection[str] | None) -> "pd.DataFrame":
        import pandas as pd  # noqa: PLC0415 (which `predict` lacks)

        for _ in self._cells():  # pandas would take surplus cells for an index, and shift the others
            pass
        numbers = [] if texts is None else [name for name in self.header if name not in texts]
        with _blamed(self.path):
            table = pd.read_csv(
                self.path,
                sep=self._delimiter,
                encoding=self._encoding,
                dtype=str if texts is None else dict.fromkeys(texts, str),
                keep_default_na=False,
                na_values={name: [""] for name in numbers},
                skipinitialspace=True,
                skip_blank_lines=False,  # they count as lines
                index_col=False,
                usecols=range(len(self.header)),
            )
        return table.set_axis(self.header, axis=1)


def verify_header(path: Path, header: Sequence[str]) -> None:
    """Make sure that no two columns have one name; upper and lower case do not matter."""
    lowered = [name.lower() for name in header]
    twice = [name for name in header if name and lowered.count(name.lower()) > 1]
    if twice:
        raise DataError(
            f"{path}: expected each column once but {twice[0]} is twice in its "
            f"header{f', once as {twice[1]}' if twice[1] != twice[0] else ''}. Rename or remove one of them."
        )


def names_of(header: Iterable[str]) -> dict[str, str]:
    """Return the header's name of each column of `COLUMNS` that it has, by our name.

    Example:
        >>> names_of(["isic_id", "Age_approx", "target"])
        {'image_id': 'isic_id', 'age': 'Age_approx'}
    """
    spelled: dict[str, str] = {}
    for name in header:
        spelled.setdefault(str(name).strip().lower(), str(name))
    found = {ours: [spelled[name] for name in names if name in spelled] for ours, names in COLUMNS.items()}
    return {ours: theirs[0] for ours, theirs in found.items() if theirs}


def _tidy(column: str, cell: str) -> str:
    text = cell.strip()
    if not text.isascii():
        text = normalize("NFC", text)  # names of files on a Mac are in another form than those of a table
    return SITES.get(text.lower(), text) if column == "localization" else text


def _encoding_of(start: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" in start[1:2]:
        return "utf-16-le"
    return "utf-16-be" if b"\0" in start[:1] else "utf-8"


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Name the file in errors of the system, the decoder and the parsers."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UnicodeError as error:
        raise DataError(
            f"{path}: cannot be read as a table: expected text in UTF-8 or UTF-16 but {error}. Save it as "
            '"CSV UTF-8".'
        ) from error
    except (csv.Error, ValueError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a table: {error}.") from error
