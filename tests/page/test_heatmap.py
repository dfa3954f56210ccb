import matplotlib as mpl
import numpy as np

from lesionwise.page.heatmap import lay_colour, lay_contours, positive_part, viridis


def test_the_colours_are_those_of_matplotlib_and_rise_in_lightness() -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)
    expected = mpl.colormaps["viridis"](values)[:, :3] * 255
    assert np.abs(viridis(values) - expected).max() < 6
    assert (np.diff(viridis(values) @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_nothing_is_drawn_where_nothing_speaks_for_the_diagnosis() -> None:
    pixels = np.full((30, 40, 3), 180, np.uint8)
    values = positive_part(np.array([[-1, -1], [-1, 2]], np.float32))
    assert values.tolist() == [[0, 0], [0, 1]]
    drawn = lay_colour(pixels, values)
    assert (np.abs(drawn[:5, :5].astype(int) - 180) <= 2).all()  # the stretching rings a little
    assert (drawn[-1, -1] != 180).any()
    flat = positive_part(np.zeros((2, 2), np.float32))
    assert (lay_colour(pixels, flat) == 180).all()
    assert (lay_contours(pixels, flat) == 180).all()


def test_a_contour_runs_where_the_map_crosses_its_level() -> None:
    pixels = np.full((40, 60, 3), 128, np.uint8)
    ramp = np.tile(np.linspace(0, 1, 60, dtype=np.float32), (40, 1))
    drawn = lay_contours(pixels, ramp, levels=(0.5,))
    dark = np.argwhere(drawn[..., 0] < 120)
    assert abs(dark[:, 1].mean() - 29.5) < 1
    assert set(dark[:, 0]) == set(range(40))
    assert (drawn[:, :20] == 128).all()
