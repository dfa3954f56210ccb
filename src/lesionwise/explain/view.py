"""Where in a photograph the places of a map lie.

Here: the frame that a recipe looks at, laid over masks and maps. `training.augment.evaluation_view` cuts the
same frame out of the pixels. Letters: H W pixels.
"""

from lesionwise.recipe import Recipe


def view_slices(recipe: Recipe, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of an image that evaluation looks at.

    Args:
        recipe: Its `eval_zoom`.
        size: Height and width of the image, in pixels.
    """
    height, width = (round(side / recipe.eval_zoom) for side in size)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return slice(top, top + height), slice(left, left + width)
