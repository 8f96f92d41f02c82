"""The long short-term memory: its equations, the kernels that run them fast, and stacks of layers."""

from charlm.lstm.cell import LSTMCell, LSTMState
from charlm.lstm.layers import LSTM

__all__ = ["LSTM", "LSTMCell", "LSTMState"]
