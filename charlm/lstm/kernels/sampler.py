"""The sampler in C: it writes text with a whole model, a block of characters in one call.

Dimensions: V vocabulary, E embedding width, H hidden width, L layers, T characters of a block, B samples.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.lstm.cell import LSTMCell, LSTMState
from charlm.lstm.kernels import native

OUT_OF_MEMORY, NOT_FINITE = 1, 2
"""What the C functions return if they fail."""


class Arguments(ctypes.Structure):
    """The arguments of the C functions; csrc/sampler.h describes them in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("V", "E", "H", "L", "T", "B", "num_threads", "top_k")),
        *((name, ctypes.c_double) for name in ("top_p", "temperature")),
        *((name, ctypes.c_void_p) for name in ("embedding", "packed", "h", "c", "ids", "uniforms", "logits")),
    ]


class Sampler:
    """A model with packed weights. All sums are added in the same order for any B, T and number of threads.

    Args:
        embedding: (V, E), float32 on the CPU, as all weights.
        cells: the layers, from the lowest up; the weights are copied.
        output_weight: (V, H).
        output_bias: (V,).
        instruction_set: one of ``native.available_instruction_sets()``; None for the fastest one.
    """

    def __init__(
        self,
        embedding: Tensor,
        cells: Sequence[LSTMCell],
        output_weight: Tensor,
        output_bias: Tensor,
        instruction_set: str | None = None,
    ) -> None:
        self._instruction_set = instruction_set or native.fastest_instruction_set()
        self._embedding = embedding.detach().contiguous()
        self._sizes = {"V": len(embedding), "E": embedding.shape[1], "H": cells[0].hidden_size, "L": len(cells)}
        layers = [weight for cell in cells for weight in (cell.weight_ih, cell.weight_hh, cell.bias)]
        weights = [weight.detach().contiguous() for weight in (*layers, output_weight, output_bias)]
        self._packed = torch.empty(self._call("packed_size"))
        pointers = (ctypes.c_void_p * len(weights))(*(weight.data_ptr() for weight in weights))
        self._call("pack", pointers, packed=self._packed)

    def read(self, ids: Tensor, state: LSTMState) -> LSTMState:
        """Return the state after some characters.

        Args:
            ids: (T, B), int64 in 0..V-1.
            state: h and c of all layers, each (L, B, H), float32; not modified.
        """
        return self._run(ids, len(ids), state)

    def write(
        self,
        ids: Tensor,
        state: LSTMState,
        uniforms: Tensor,
        temperature: float,
        top_k: int | None = None,
        top_p: float | None = None,
        num_threads: int | None = None,
        logits: Tensor | None = None,
    ) -> tuple[Tensor, LSTMState]:
        """Write T characters, by the rules of ``inference.sampling.Sampling``.

        Args:
            ids: the characters before the block, not yet in the state, (B,), int64 in 0..V-1.
            state: h and c of all layers before these, each (L, B, H), float32; not modified.
            uniforms: a random number in [0, 1) for each character, (T, B), float64.
            temperature: at least 0.
            top_k: at least 1; None for all.
            top_p: above 0 to 1; None for all.
            num_threads: at least 1; they share the samples, or the units of a single sample; None for torch's number.
            logits: filled with the logits of every character, (T, B, V), float32; None if they are not needed.

        Returns:
            The ids (T, B), and the state before the last of them is read.

        Raises:
            FloatingPointError: a logit is not finite.
        """
        uniforms = uniforms.contiguous()
        rows = torch.empty(len(uniforms) + 1, len(ids), dtype=torch.int64)
        rows[0] = ids
        options = {"temperature": temperature, "top_k": top_k or len(self._embedding), "top_p": top_p or 1.0}
        if num_threads is not None:
            options["num_threads"] = num_threads
        state = self._run(rows, len(uniforms), state, uniforms=uniforms, logits=logits, **options)
        return rows[1:], state

    def _run(self, ids: Tensor, T: int, state: LSTMState, **options: Tensor | float | None) -> LSTMState:
        """Compute T steps, and return the state after them; with ``uniforms``, all rows of ids but the first change."""
        ids, given, V = ids.contiguous(), ids[:1] if "uniforms" in options else ids, self._sizes["V"]
        if given.numel() and not 0 <= int(given.min()) <= int(given.max()) < V:
            raise InputError(f"sampler: ids must be in 0..{V - 1}, got {int(given.min())}..{int(given.max())}")
        state = LSTMState(*(x.clone(memory_format=torch.contiguous_format) for x in state))
        self._call("write", T=T, B=ids.shape[1], ids=ids, h=state.h, c=state.c, packed=self._packed, **options)
        return state

    def _call(self, name: str, *more: object, **options: Tensor | float | None) -> int:
        """Call a C function with the fields of ``Arguments``, and return its result; None becomes the null pointer.

        Raises:
            FloatingPointError: a logit is not finite.
        """
        values = {"B": 1, "embedding": self._embedding, "num_threads": torch.get_num_threads()} | self._sizes | options
        arguments = Arguments()
        for field, value in values.items():
            setattr(arguments, field, value.data_ptr() if isinstance(value, Tensor) else value)
        function = getattr(native.load_library(), f"sampler_{name}_{self._instruction_set}")
        function.restype = ctypes.c_int64 if name == "packed_size" else ctypes.c_int
        result = int(function(ctypes.byref(arguments), *more))
        if result == NOT_FINITE and name == "write":
            raise FloatingPointError("a logit is not finite")
        if result == OUT_OF_MEMORY:
            raise CharlmError(f"out of memory in sampler_{name}")
        return result
