"""Long short-term memory (LSTM): the cell's equations, fast kernels for whole sequences, and stacks of layers."""

from charlm.lstm.cell import LSTMCell, LSTMState
from charlm.lstm.layers import LSTM

__all__ = ["LSTM", "LSTMCell", "LSTMState"]
