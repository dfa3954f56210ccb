"""The seven diagnoses: which structures each lesion shows, and how they are arranged.

Size, overall depth of colour, and contrast of the structures are drawn from the same ranges
for every diagnosis as far as its nature allows, so that structure decides and colour does not.
What is not here: how a structure looks (`structures`).

References:
    Kittler et al., Dermatoscopy consensus (2016), https://doi.org/10.1016/j.jaad.2015.12.038
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from lesionwise.data.phantom import structures
from lesionwise.data.phantom.canvas import Canvas, Colour, Drawing, Ink, outline, traced_area
from lesionwise.data.phantom.fields import Field, ramp

# Radius in pixels of a 600x450 photograph; the same for all, as size must not tell.
_RADII_PX = (62.0, 160.0)


def draw_lesion(dx: str, rng: np.random.Generator) -> Drawing:
    """Return one lesion of the diagnosis `dx` (a HAM10000 code), drawn from `rng` alone."""
    canvas = Canvas(rng, radius=float(rng.uniform(*_RADII_PX)))
    depth = _PAINTERS[dx](canvas)
    return canvas.finish(traced_area(canvas, depth))


def _paint_akiec(canvas: Canvas) -> Field:
    """Actinic keratosis and Bowen's disease: strawberry pattern, scale, dotted vessels."""
    depth = outline(canvas, elongation=canvas.between(1.0, 1.5), lobes=0.15, jag_px=5.0)
    inside = ramp(depth, -14.0, 16.0)
    _tint(canvas, inside, brown=_pale_or_brown(canvas), red=canvas.between(0.1, 0.4))
    if canvas.chance(0.7):
        structures.draw_strawberry(
            canvas,
            inside,
            spacing_px=canvas.between(19.0, 27.0),
            density=canvas.between(0.2, 0.55),
            opacity=canvas.between(0.25, 0.6),
        )
    else:
        structures.draw_dotted_vessels(canvas, inside, density=canvas.between(0.6, 1.1))
    structures.draw_scale(canvas, inside, opacity=canvas.between(0.3, 0.7))
    return depth


def _paint_bcc(canvas: Canvas) -> Field:
    """Basal cell carcinoma: arborising vessels, mostly with nests, leaves or an ulcer."""
    depth = outline(canvas, elongation=canvas.between(1.0, 1.4), lobes=0.14, jag_px=3.0)
    inside = ramp(depth, -12.0, 14.0)
    _tint(canvas, inside, brown=0.6 * _pale_or_brown(canvas), red=canvas.between(0.1, 0.35))
    canvas.cover((0.93, 0.82, 0.82), inside, canvas.between(0.05, 0.3))
    core = ramp(depth, 6.0, 14.0)
    if canvas.chance(0.75):
        count = int(canvas.rng.integers(3, 9))
        structures.draw_nests(canvas, core, count=count, density=canvas.between(0.4, 1.0))
    if canvas.chance(0.45):
        structures.draw_leaves(canvas, depth, density=canvas.between(0.8, 1.2))
    structures.draw_arborising_vessels(
        canvas,
        ramp(depth, -10.0, 4.0),
        trees=int(canvas.rng.integers(2, 6)),
        density=canvas.between(0.5, 1.1),
    )
    if canvas.chance(0.4):
        structures.draw_erosion(canvas, core, density=canvas.between(0.7, 1.1))
    return depth


def _paint_bkl(canvas: Canvas) -> Field:
    """Seborrhoeic keratosis: sharp border, milia-like cysts, comedones or fissures."""
    depth = outline(canvas, elongation=canvas.between(1.0, 1.6), lobes=0.12, jag_px=4.0)
    inside = ramp(depth, -1.5, 2.5)
    level = canvas.between(0.25, 1.0)
    _tint(canvas, inside, brown=level, red=canvas.between(0.0, 0.2))
    canvas.absorb(Ink.KERATIN, inside, canvas.between(0.1, 0.45))
    core = ramp(depth, 5.0, 11.0)
    if canvas.chance(0.5):
        structures.draw_fissures(
            canvas, core, spacing_px=canvas.between(17.0, 26.0), density=canvas.between(0.3, 0.75)
        )
    else:
        structures.draw_comedones(
            canvas, core, spacing_px=canvas.between(34.0, 55.0), density=canvas.between(0.6, 1.2)
        )
    structures.draw_milia(
        canvas, core, spacing_px=canvas.between(30.0, 55.0), opacity=canvas.between(0.4, 0.9)
    )
    return depth


def _paint_df(canvas: Canvas) -> Field:
    """Dermatofibroma: a white scar-like centre within a delicate brown network."""
    depth = outline(canvas, elongation=canvas.between(1.0, 1.2), lobes=0.07, jag_px=2.0)
    fade = ramp(depth, -10.0, 0.35 * canvas.radius)
    _tint(canvas, fade, brown=_pale_or_brown(canvas), red=canvas.between(0.05, 0.4))
    lines = structures.honeycomb(
        canvas, spacing_px=canvas.between(12.0, 17.0), disorder=0.9, width=-0.35, uneven=0.2
    )
    canvas.absorb(Ink.MELANIN, lines * fade, canvas.between(0.3, 0.6))
    structures.draw_scar(canvas, reach=canvas.between(0.35, 0.6), opacity=canvas.between(0.4, 0.85))
    return depth


def _paint_mel(canvas: Canvas) -> Field:
    """Melanoma: chaos of form and colour, and at least two of its clues."""
    depth = outline(canvas, elongation=canvas.between(1.05, 1.6), lobes=0.22, jag_px=6.0)
    inside = ramp(depth, -6.0, 12.0)
    slope = _slope(canvas)
    patches = np.clip(0.75 + 0.4 * canvas.noise(0.45 * canvas.radius) + 0.4 * slope, 0.15, 1.9)
    _tint(canvas, inside * patches, brown=canvas.between(0.35, 1.0), red=canvas.between(0.0, 0.3))
    lines = structures.honeycomb(
        canvas, spacing_px=canvas.between(17.0, 25.0), disorder=1.7, width=-0.1, uneven=0.55
    )
    where = ramp(canvas.noise(0.6 * canvas.radius) - slope, -0.7, 0.2) * inside
    canvas.absorb(Ink.MELANIN, lines * where, canvas.between(0.45, 1.0))
    blotch = ramp(canvas.noise(0.5 * canvas.radius) + slope, 0.3, 1.5) * inside
    canvas.absorb(Ink.SOOT, blotch, canvas.between(0.2, 0.7))
    core = ramp(depth, 5.0, 15.0)
    clues: list[Callable[[], None]] = [
        lambda: structures.draw_veil(canvas, core, opacity=canvas.between(0.3, 0.6)),
        lambda: structures.draw_streaks(canvas, depth, density=canvas.between(0.8, 1.3)),
        lambda: structures.draw_regression(canvas, inside, opacity=canvas.between(0.35, 0.65)),
        lambda: _absorb_globules(canvas, core, irregular=1.0),
    ]
    chosen = canvas.rng.permutation(len(clues))[: int(canvas.rng.integers(2, 4))]
    for clue in sorted(chosen):
        clues[clue]()
    return depth


def _paint_nv(canvas: Canvas) -> Field:
    """Nevus: symmetric, one or two colours, a regular network or regular globules."""
    depth = outline(canvas, elongation=canvas.between(1.0, 1.4), lobes=0.07, jag_px=2.0)
    inside = ramp(depth, -9.0, 0.22 * canvas.radius)
    profile = 1.0 + canvas.between(-0.3, 0.5) * ramp(depth, 0.2 * canvas.radius, canvas.radius)
    brown = canvas.between(0.25, 0.9)
    _tint(canvas, inside * profile, brown=brown, red=canvas.between(0.0, 0.3))
    pattern = canvas.rng.random()
    if pattern < 0.6:  # noqa: PLR2004
        lines = structures.honeycomb(
            canvas, spacing_px=canvas.between(14.0, 21.0), disorder=0.9, width=-0.1, uneven=0.15
        )
        canvas.absorb(Ink.MELANIN, lines * inside, canvas.between(0.3, 0.8))
    if pattern > 0.45:  # noqa: PLR2004
        _absorb_globules(canvas, inside, irregular=0.0)
    return depth


def _paint_vasc(canvas: Canvas) -> Field:
    """Angioma and angiokeratoma: sharply bounded lacunae, red to purple to black."""
    depth = outline(canvas, elongation=canvas.between(1.0, 1.4), lobes=0.12, jag_px=3.0)
    inside = ramp(depth, -2.0, 4.0)
    _tint(canvas, inside, brown=canvas.between(0.0, 0.35), red=canvas.between(0.2, 0.6))
    inks: tuple[Colour, ...] = (Ink.BLOOD, Ink.VENOUS_BLOOD, Ink.DEEP_MELANIN)
    ink = inks[int(canvas.rng.choice(3, p=(0.45, 0.4, 0.15)))]
    structures.draw_lacunae(
        canvas,
        ramp(depth, 4.0, 9.0),
        spacing_px=canvas.between(22.0, 36.0),
        ink=ink,
        density=canvas.between(0.4, 1.2),
    )
    if canvas.chance(0.4):
        haze = ramp(canvas.noise(0.4 * canvas.radius), 0.2, 1.0) * inside
        canvas.cover((0.86, 0.80, 0.86), haze, canvas.between(0.2, 0.45))
    return depth


def _tint(canvas: Canvas, region: Field, *, brown: float, red: float) -> None:
    """Lay the lesion's own even colour."""
    uneven = 1.0 + 0.15 * canvas.noise(0.4 * canvas.radius) + 0.10 * canvas.noise(9.0)
    canvas.absorb(Ink.MELANIN, region * uneven, brown)
    canvas.absorb(Ink.BLOOD, region * uneven, red)


def _pale_or_brown(canvas: Canvas) -> float:
    """Return an amount of melanin for diagnoses of which some, not most, are pigmented."""
    return canvas.between(0.3, 0.7) if canvas.chance(0.4) else canvas.between(0.0, 0.25)


def _slope(canvas: Canvas) -> Field:
    """Return a field that rises from -1 to 1 across the lesion: what makes it asymmetric."""
    angle = canvas.between(0.0, 2.0 * math.pi)
    rise = canvas.x * math.cos(angle) + canvas.y * math.sin(angle)
    return np.clip(rise / canvas.radius, -1.0, 1.0)


def _absorb_globules(canvas: Canvas, region: Field, *, irregular: float) -> None:
    """Lay brown globules, regular or irregular, over a region."""
    clods = structures.globules(
        canvas,
        region,
        spacing_px=canvas.between(16.0, 23.0),
        radius_px=canvas.between(4.5, 6.5),
        irregular=irregular,
    )
    canvas.absorb(Ink.MELANIN, clods, canvas.between(0.45, 1.0))


_PAINTERS: Mapping[str, Callable[[Canvas], Field]] = {
    "akiec": _paint_akiec,
    "bcc": _paint_bcc,
    "bkl": _paint_bkl,
    "df": _paint_df,
    "mel": _paint_mel,
    "nv": _paint_nv,
    "vasc": _paint_vasc,
}
