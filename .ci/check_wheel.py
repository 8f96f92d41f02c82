"""Check what a wheel of charlm installed, run by an interpreter that sees no checkout."""

import sys
from importlib import metadata
from pathlib import Path

import charlm
from charlm.lstm.kernels import native
from charlm.lstm.kernels.compiler import KERNEL_SOURCES, SOURCES

package = Path(charlm.__file__).parent
checks = {
    "the package comes from the environment": package.is_relative_to(sys.prefix),
    "the version is that of the wheel": metadata.version("charlm") == charlm.__version__,
    "py.typed is there": (package / "py.typed").is_file(),
    "the sources of the kernels are there": {path.name for path in SOURCES.iterdir()} > {*KERNEL_SOURCES},
    "the parts of the page are there": all(
        (package / "inspection" / "templates" / name).is_file()
        for name in ("page.html", "page.css", "text.js", "surprise.js", "cells.js", "copies.js")
    ),
    "the template of the model card is there": (package / "export" / "templates" / "card.md").is_file(),
    "the kernels build and load": bool(native.available_instruction_sets()),
    "the tests are not installed": not any(path.parts[0] == "tests" for path in metadata.files("charlm") or ()),
}
failed = [name for name, is_true in checks.items() if not is_true]
sys.exit(f"The wheel is wrong; not true: {'; '.join(failed)}." if failed else 0)
