"""Structures of the horny layer and of scars: cysts, comedones, fissures, scale, follicles."""

import numpy as np

from lesionwise.data.phantom.canvas import BLOOD, KERATIN, MELANIN, SOOT, Canvas, Colour
from lesionwise.data.phantom.fields import Field, draw_blobs, ramp

CYST: Colour = (0.97, 0.93, 0.84)
SCALE: Colour = (0.92, 0.85, 0.80)
SCAR_WHITE: Colour = (0.96, 0.89, 0.88)
FOLLICLE: Colour = (0.90, 0.78, 0.70)


def draw_milia(canvas: Canvas, region: Field, *, spacing_px: float, opacity: float) -> None:
    """Draw milia-like cysts: round, bright, yellowish-white spots with a soft edge."""
    centres = canvas.sites(spacing_px, jitter=0.35, region=region)
    radii = canvas.rng.uniform(3.0, 8.0, len(centres))
    glow = draw_blobs(canvas.shape, centres, 1.35 * radii, rng=canvas.rng)
    core = draw_blobs(canvas.shape, centres, 0.8 * radii, rng=canvas.rng)
    canvas.cover(CYST, (0.45 * glow + 0.55 * core) * np.float32(opacity))


def draw_comedones(canvas: Canvas, region: Field, *, spacing_px: float, density: float) -> None:
    """Draw comedo-like openings: dark brown plugs with a paler yellow rim."""
    centres = canvas.sites(spacing_px, jitter=0.35, region=region)
    radii = canvas.rng.uniform(4.0, 9.0, len(centres))
    rims = draw_blobs(canvas.shape, centres, radii + 3.0, rng=canvas.rng)
    plugs = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3)
    canvas.absorb(KERATIN, rims * np.float32(0.35 * density))
    canvas.absorb(MELANIN, plugs * np.float32(0.9 * density))
    canvas.absorb(SOOT, plugs * np.float32(0.35 * density))


def draw_fissures(canvas: Canvas, region: Field, *, spacing_px: float, density: float) -> None:
    """Draw a cerebriform surface: winding dark furrows between paler ridges."""
    winding = np.abs(canvas.noise(spacing_px))
    furrows = ramp(winding, 0.55, 0.0) * region
    ridges = ramp(winding, 0.5, 1.8) * region
    canvas.absorb(MELANIN, furrows * np.float32(density))
    canvas.cover(CYST, ridges * np.float32(0.22))


def draw_scale(canvas: Canvas, region: Field, *, opacity: float) -> None:
    """Draw flakes of white to yellow scale that lie on top of the lesion."""
    clumps = canvas.noise(0.30 * canvas.radius + 6.0) + 0.8 * canvas.noise(6.0)
    flakes = ramp(clumps, 0.6, 1.7) * region
    canvas.cover(SCALE, flakes * np.float32(opacity))


def draw_strawberry(
    canvas: Canvas, region: Field, *, spacing_px: float, density: float, opacity: float
) -> None:
    """Draw a red pseudo-network around pale follicles that hold a yellowish plug."""
    centres = canvas.sites(spacing_px, jitter=0.2, region=region)
    radii = spacing_px * canvas.rng.uniform(0.18, 0.34, len(centres))
    halos = draw_blobs(canvas.shape, centres, radii, rng=canvas.rng, wobble=0.3, soft_px=1.8)
    plugs = draw_blobs(canvas.shape, centres, 0.36 * radii, rng=canvas.rng)
    mottle = 0.85 + 0.3 * np.clip(canvas.noise(spacing_px), -1.5, 1.5)
    canvas.absorb(BLOOD, (1.0 - halos) * mottle * region * np.float32(density))
    canvas.cover(FOLLICLE, halos * np.float32(opacity))
    canvas.absorb(KERATIN, plugs * np.float32(0.35))


def draw_scar(canvas: Canvas, *, reach: float, opacity: float) -> Field:
    """Draw the central white patch of a dermatofibroma, and return its opacity."""
    shift = canvas.rng.normal(0.0, 0.06 * canvas.radius, 2)
    distance = np.hypot(canvas.x - np.float32(shift[0]), canvas.y - np.float32(shift[1]))
    distance = distance / np.float32(canvas.radius) + 0.10 * canvas.noise(0.3 * canvas.radius)
    strands = 0.78 + 0.22 * ramp(np.abs(canvas.noise(13.0)), 0.5, 0.1)
    patch = ramp(distance, reach * 1.35, reach * 0.4) * strands * np.float32(opacity)
    canvas.cover(SCAR_WHITE, patch)
    return patch
