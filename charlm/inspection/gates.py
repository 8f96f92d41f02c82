"""How a layer uses its gates: how often they are open or shut, and how long a cell remembers.

Dimensions: L layers, T time, H hidden width.

Source: A. Karpathy, J. Johnson and L. Fei-Fei, Visualizing and Understanding Recurrent Networks, 2015: saturation.
"""

from typing import NamedTuple

import numpy as np

from charlm.inference.reading import Floats, Reading

SHUT_BELOW = 0.1
OPEN_ABOVE = 0.9
"""A gate below the first is left-saturated (shut), above the second right-saturated (open); the thresholds of the
paper."""

GATES = ("i", "f", "o")


class Saturation(NamedTuple):
    """How much of the time each gate is saturated.

    Attributes:
        shut_frac: fraction of the characters at which the gate is below 0.1, (L, H).
        open_frac: fraction of the characters at which the gate is above 0.9, (L, H).
    """

    shut_frac: Floats
    open_frac: Floats


def measure_saturation(reading: Reading) -> dict[str, Saturation]:
    """Return the saturation of the input gate ``i``, the forget gate ``f`` and the output gate ``o``."""
    values = {name: reading.activations[name] for name in GATES}
    return {
        name: Saturation(
            (gate < SHUT_BELOW).mean(axis=1, dtype=np.float32), (gate > OPEN_ABOVE).mean(axis=1, dtype=np.float32)
        )
        for name, gate in values.items()
    }


def measure_half_lives(reading: Reading) -> Floats:
    """Return the half-life of each cell's memory, in characters, (L, H), at least 0.

    A cell keeps the fraction f of its state at each character. The half-life is the number of characters after which
    half is left at the median of f over the text. The median is what f is between two resets: a cell that counts the
    characters of a line and forgets all at its end has a long half-life. It is infinite for a median of 1.
    """
    forget = np.median(reading.activations["f"].astype(np.float64), axis=1)
    with np.errstate(divide="ignore"):  # a gate of exactly 0 or 1
        halves: Floats = (np.log(2) / np.abs(np.log(forget))).astype(np.float32)
    return halves
