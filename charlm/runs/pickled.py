"""What the pickle in a file of torch.save says, read without executing it and without torch.

The reader knows the operations and the globals that charlm's checkpoints consist of, and refuses all others. It calls
nothing that the pickle names: a dictionary and the outline of a tensor are all that can come of a name.
"""

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_OPERATIONS = 1_000_000
"""Maximum number of operations of the pickle: some 20 for each tensor."""

ELEMENT_BYTES = {
    "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2, "HalfStorage": 2, "BFloat16Storage": 2,
    "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8,
}  # fmt: skip
"""Size of one number in each kind of torch's storage."""


@dataclass(frozen=True, slots=True)
class TensorOutline:
    """A tensor whose numbers were not read.

    Attributes:
        shape: its shape.
    """

    shape: tuple[int, ...]

    def numel(self) -> int:
        """Return the number of its numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    num_elements: int


GLOBALS = {
    name: _Global(name)
    for name in (
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        *(f"torch {storage}" for storage in ELEMENT_BYTES),
    )
}
"""The globals that a checkpoint may name. Torch allows more, such as a bytearray of any size."""


class _Reader:
    """The state of a pickle that is being read; each method is an operation, with its argument.

    Args:
        part_bytes: sizes of the parts that hold the numbers of tensors, by name.
    """

    def __init__(self, part_bytes: Mapping[str, int]) -> None:
        self.part_bytes = part_bytes
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_long(self, value: int) -> None:
        if not -(2**63) <= value < 2**64:  # as keys, longer ones may be made so that a dictionary takes for ever
            raise ValueError("it has a whole number beyond 64 bits")
        self.stack.append(value)

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def make_tuple(self, _: None) -> None:
        self.stack.append(tuple(self.pop_to_mark()))

    def make_tuple_1(self, _: None) -> None:
        self.stack.append((self.stack.pop(),))

    def make_tuple_2(self, _: None) -> None:
        self.stack.append((self.stack.pop(-2), self.stack.pop()))

    def make_tuple_3(self, _: None) -> None:
        self.stack.append((self.stack.pop(-3), self.stack.pop(-2), self.stack.pop()))

    def append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def append_all(self, _: None) -> None:
        self._extend(self.pop_to_mark())

    def _extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to what is no list")
        self.stack[-1].extend(values)

    def set_item(self, _: None) -> None:
        self._update([self.stack.pop(-2), self.stack.pop()])

    def set_items(self, _: None) -> None:
        self._update(self.pop_to_mark())

    def _update(self, values: list[Any]) -> None:
        keys = values[::2]
        if type(self.stack[-1]) is not dict or not {type(key) for key in keys} <= {str, int}:
            raise ValueError("it has a key that is no text and no number")  # that of another type may take for ever
        self.stack[-1].update(zip(keys, values[1::2], strict=True))

    def name_global(self, name: str) -> None:
        if name not in GLOBALS:
            raise ValueError(f"it names {name[:80]!r}")
        self.stack.append(GLOBALS[name])

    def name_storage(self, _: None) -> None:
        kind, storage, part, _, num_elements = self.stack.pop()
        num_bytes = self.part_bytes.get(part)
        if kind != "storage" or type(num_elements) is not int or num_bytes is None:
            raise ValueError(f"it has no part {str(part)[:80]!r}")
        element_bytes = ELEMENT_BYTES[storage.name.removeprefix("torch ")]
        if not 0 <= num_elements * element_bytes <= num_bytes:
            raise ValueError(f"a tensor claims {num_elements:.6g} numbers, which are not there")
        self.stack.append(_Storage(num_elements))

    def reduce(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function is GLOBALS["collections OrderedDict"] and arguments == ():
            self.stack.append({})
        elif function is GLOBALS["torch._utils _rebuild_tensor_v2"]:
            self.stack.append(_outline(*arguments))
        else:
            raise ValueError("it calls what a checkpoint does not call")

    def build(self, _: None) -> None:
        self.stack.pop()  # attributes of a dictionary, which nobody reads
        if type(self.stack[-1]) is not dict:
            raise ValueError("it sets attributes of what is no dictionary")


def _outline(storage: _Storage, offset: int, shape: Any, strides: Any, *_: object) -> TensorOutline:
    """Return the outline of a tensor, all of whose numbers are in its storage."""
    numbers = [offset, *shape, *strides]
    if not all(type(number) is int and number >= 0 for number in numbers) or len(shape) != len(strides):
        raise ValueError("a tensor has an impossible shape")
    outline = TensorOutline(tuple(shape))
    end = offset + 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if outline.numel() > storage.num_elements or (outline.numel() and end > storage.num_elements):
        raise ValueError("a tensor is larger than its storage")
    return outline


OPERATIONS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(("BINUNICODE", "BININT", "BININT1", "BININT2", "BINFLOAT"), _Reader.push),
    "LONG1": _Reader.push_long,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Reader.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Reader.get),
    "PROTO": lambda _, __: None,
    "STOP": lambda _, __: None,
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "EMPTY_TUPLE": lambda reader, _: reader.push(()),
    "MARK": _Reader.mark,
    "TUPLE": _Reader.make_tuple,
    "TUPLE1": _Reader.make_tuple_1,
    "TUPLE2": _Reader.make_tuple_2,
    "TUPLE3": _Reader.make_tuple_3,
    "APPEND": _Reader.append,
    "APPENDS": _Reader.append_all,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
    "GLOBAL": _Reader.name_global,
    "BINPERSID": _Reader.name_storage,
    "REDUCE": _Reader.reduce,
    "BUILD": _Reader.build,
}
"""What each operation does, by the name that pickletools gives it."""


def read_pickle(pickle: bytes, part_bytes: Mapping[str, int]) -> Any:
    """Return the value of a pickle, with the outlines of tensors in their places.

    Args:
        pickle: the pickle.
        part_bytes: sizes of the parts that hold the numbers of tensors, by name.

    Raises:
        Exception: of any kind: it is invalid, or does what no checkpoint does.
    """
    reader = _Reader(part_bytes)
    for number, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
        if number == MAX_OPERATIONS:
            raise ValueError(f"its pickle has over {MAX_OPERATIONS:,} operations")
        operate = OPERATIONS.get(opcode.name)
        if operate is None:
            raise ValueError(f"it has the operation {opcode.name}, which no checkpoint has")
        operate(reader, argument)
    [value] = reader.stack
    return value
