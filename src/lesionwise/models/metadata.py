"""What age, sex and site add to the logits of an image."""

from torch import Tensor, nn
from typing_extensions import override


class MetadataTerm(nn.Module):
    """A small network beside the image's, whose answer is added to the logits.

    Because it is added, the class activation maps of the image stay exact: their mean is what the image says.
    No layer has a bias and all that is unknown is zero, so that without metadata nothing is added.

    Args:
        hidden: Units between; none makes the term linear.
    """

    def __init__(self, numbers: int, num_classes: int, *, hidden: int = 32) -> None:
        super().__init__()
        self.numbers = numbers
        self.deep = nn.Sequential(nn.Linear(numbers, hidden, bias=False), nn.ReLU()) if hidden else None
        self.linear = nn.Linear(hidden or numbers, num_classes, bias=False)
        nn.init.zeros_(self.linear.weight)  # training starts from what the image says alone

    @override
    def forward(self, metadata: Tensor) -> Tensor:
        """Return what is added to the logits, shape (B, C), of encoded metadata (B, M)."""
        added: Tensor = self.linear(self.deep(metadata) if self.deep else metadata)
        return added
