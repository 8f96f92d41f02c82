"""A model of a disk that replays recorded system calls, and shows what a power failure may leave of it.

POSIX promises little: content that was not flushed is lost, cut or there; the names of a directory that was not flushed
are lost, there, or there but for one.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

CALLS = (
    "openat,write,pwrite64,lseek,ftruncate,truncate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "fsync,fdatasync"
)
"""The system calls to record with strace, with the options -f, -y and -xx."""

CALL = re.compile(r"^(\w+)\((.*)\) += (\d+)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
DESCRIPTOR = re.compile(r"^(\d+|AT_FDCWD)<([^>]*)>")

Content = dict[str, bytes | None]
"""The content of each file by its path; None for a directory."""


class Node:
    """A file or a directory: what programs see, and what is on the disk for certain.

    Args:
        is_directory: whether it is a directory.
    """

    def __init__(self, is_directory: bool = False) -> None:
        self.is_directory = is_directory
        self.content, self.flushed = bytearray(), b""
        self.names: dict[str, Node] = {}
        self.flushed_names: dict[str, Node] = {}
        self.changes: list[dict[str, Node | None]] = []

    def change(self, names: "dict[str, Node | None]") -> None:
        """Add or remove (None) names in one step."""
        self.changes.append(names)
        self.names = apply(self.names, names)

    def flush(self) -> None:
        """Put everything on the disk."""
        self.flushed, self.flushed_names, self.changes = bytes(self.content), dict(self.names), []


def apply(names: "dict[str, Node]", change: "dict[str, Node | None]") -> "dict[str, Node]":
    """Return names after a change."""
    return {name: node for name, node in (names | change).items() if node is not None}


class Disk:
    """A directory of the disk, changed by the recorded calls."""

    def __init__(self, root: Path) -> None:
        self.top = Node(is_directory=True)
        self._above = Node(is_directory=True)
        self._above.names[root.name] = self.top
        self._root = root
        self._offsets: dict[str, int] = {}  # of each descriptor

    def find(self, path: str) -> "tuple[Node, str] | None":
        """Return the directory and the name of a path; None outside the root."""
        if path == str(self._root):
            return self._above, self._root.name
        if not path.startswith(f"{self._root}/"):
            return None
        node, (*parents, name) = self.top, path.removeprefix(f"{self._root}/").split("/")
        for parent in parents:
            if parent not in node.names:
                return None
            node = node.names[parent]
        return node, name

    def replay(self, line: str) -> bool:
        """Replay a call; return whether it changed the disk or flushed a part of it."""
        if not (match := CALL.match(line)):
            return False  # it failed
        call, arguments, result = match[1], match[2], int(match[3])
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(arguments)]
        descriptor = DESCRIPTOR.match(arguments)
        path = _decode(descriptor[2]) if descriptor else ""
        if call.endswith("at") or call.startswith(("rename", "unlink", "mkdir", "rmdir", "truncate")):
            path = str(Path(path) / texts[0].decode())
        if (place := self.find(path)) is None:
            return False
        directory, name = place
        node = directory.names.get(name)
        number = descriptor[1] if descriptor else ""
        if call == "openat":
            return self._open(arguments, directory, name, node, str(result))
        if call.startswith(("rename", "unlink", "rmdir", "mkdir")):
            self._rename(call, directory, name, texts, node)
            return True
        if call == "lseek":
            self._offsets[number] = result
        elif node is not None and call in ("fsync", "fdatasync"):
            node.flush()
        elif node is not None:
            self._write(call, arguments, node, texts, number, result)
        return node is not None and call != "lseek"

    def _open(self, arguments: str, directory: Node, name: str, node: Node | None, number: str) -> bool:
        is_new = node is None and "O_CREAT" in arguments
        if is_new:
            directory.change({name: Node()})
        elif node is not None and "O_TRUNC" in arguments:
            node.content.clear()
        self._offsets[number] = len(node.content) if node is not None and "O_APPEND" in arguments else 0
        return is_new or "O_TRUNC" in arguments

    def _rename(self, call: str, directory: Node, name: str, texts: list[bytes], node: Node | None) -> None:
        if call.startswith("mkdir"):
            directory.change({name: Node(is_directory=True)})
        elif not call.startswith("rename"):
            directory.change({name: None})
        elif target := self.find(texts[-1].decode()):
            if target[0] is directory:
                directory.change({name: None, target[1]: node})
            else:
                target[0].change({target[1]: node})
                directory.change({name: None})

    def _write(self, call: str, arguments: str, node: Node, texts: list[bytes], number: str, result: int) -> None:
        if call.endswith("truncate"):
            size = int(arguments.rpartition(", ")[2])
            node.content = node.content[:size].ljust(size, b"\0")
            return
        is_positioned = call == "pwrite64"
        offset = int(arguments.rpartition(", ")[2]) if is_positioned else self._offsets.get(number, 0)
        node.content = node.content.ljust(offset, b"\0")
        node.content[offset : offset + result] = texts[0][:result]
        if not is_positioned:
            self._offsets[number] = offset + result

    def leftovers(self) -> Iterator[Content]:
        """Yield the disks that a power failure may leave now: the content of each file, None for a directory."""
        contents: list[Callable[[Node], bytes]] = [
            lambda node: bytes(node.content),
            lambda node: node.flushed,
            lambda node: bytes(node.content[: (len(node.flushed) + len(node.content)) // 2]),
        ]
        for content in contents:
            yield self._take(lambda node: node.names, content)
            yield self._take(lambda node: node.flushed_names, content)
        for changed in self._changed_directories(self.top):
            for number, change in enumerate(changed.changes):
                alone = apply(changed.flushed_names, change)
                others = changed.flushed_names
                for other in changed.changes[:number] + changed.changes[number + 1 :]:
                    others = apply(others, other)
                for names in (alone, others):
                    yield self._take(_replace_names(changed, names), contents[1])

    def _changed_directories(self, node: Node) -> Iterator[Node]:
        if node.changes:
            yield node
        for child in node.names.values():
            yield from self._changed_directories(child)

    def _take(self, names: "Callable[[Node], dict[str, Node]]", content: Callable[[Node], bytes]) -> Content:
        found: Content = {}

        def walk(node: Node, prefix: str) -> None:
            for name, child in names(node).items():
                found[prefix + name] = None if child.is_directory else content(child)
                walk(child, f"{prefix}{name}/")

        walk(self.top, "")
        return found


def _replace_names(changed: Node, names: dict[str, Node]) -> Callable[[Node], dict[str, Node]]:
    """Return a function that returns the names in a directory, where one directory has others."""
    return lambda node: names if node is changed else node.names


def _decode(path: str) -> str:
    """Return a path as strace writes it in hexadecimal digits."""
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path
