"""Phantoms: a data set of drawn lesions in the layout of HAM10000.

A pipeline can be tried, tested and shown without a download and without a patient's image.
What is drawn follows the words of dermatoscopy closely enough that a reader recognises it;
it is no model of disease, and a score on it says nothing about skin.
What is not here: reading a data set, which is the same for phantoms and photographs.
"""

from lesionwise.data.phantom.plan import Imbalance
from lesionwise.data.phantom.writer import write_phantom

__all__ = ["Imbalance", "write_phantom"]
