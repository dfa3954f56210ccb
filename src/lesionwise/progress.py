"""What a stage calls to tell how far it is. Drawing that is for the command line (`cli.console`)."""

from collections.abc import Callable
from typing import Final

OnCount = Callable[[int, int], None]
"""Called with the images done and the number of all."""
OnWork = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and the number of all."""
OnStep = Callable[[int, int, int], None]
"""Called with the number of the epoch, the images done and the images of the epoch."""
FEATURES: Final = -1
"""What stands for an epoch while features are computed once, for all epochs."""
OnEpoch = Callable[[dict[str, float]], None]
"""Called with each row of the history."""
