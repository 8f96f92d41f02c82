"""The YAML files in configs/, and the schema by which editors check them."""

import json
from pathlib import Path

import pytest
from repository import ROOT, load_script

from charlm.config import Config, load_config

PRESETS = sorted((ROOT / "configs").glob("*.yaml"))
DEFAULTS = ROOT / "configs" / "default.yaml"
KEYS = [(section, key) for section, values in Config().model_dump().items() for key in values]
KEY_NAMES = [".".join(key) for key in KEYS]
SCHEMA_LINE = "# yaml-language-server: $schema=schema.json"


def comment_above(lines: list[str], section: str, key: str) -> str:
    """Return the comment that ends on the line above a key of a section, empty without one."""
    start = lines.index(f"{section}:")
    index = next(index for index in range(start, len(lines)) if lines[index].startswith(f"  {key}:"))
    comment: list[str] = []
    while lines[index - 1].startswith("  # "):
        index -= 1
        comment.insert(0, lines[index].strip().removeprefix("# "))
    return " ".join(comment)


def test_the_presets_are_there() -> None:
    """The files that the documentation names exist."""
    assert {"default", "tinyshakespeare", "compare_layers", "large"} <= {path.stem for path in PRESETS}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_loads(path: Path) -> None:
    """A preset has no unknown key and no wrong value."""
    assert isinstance(load_config(path), Config)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_names_the_schema(path: Path) -> None:
    """The first line of a preset tells the editor where the schema is."""
    assert path.read_text(encoding="utf-8").splitlines()[0] == SCHEMA_LINE


def test_default_yaml_states_the_defaults() -> None:
    """The defaults in the YAML are the defaults in the code."""
    assert load_config(DEFAULTS).model_dump() == load_config(None).model_dump()


@pytest.mark.parametrize(("section", "key"), KEYS, ids=KEY_NAMES)
def test_default_yaml_explains_every_key(section: str, key: str) -> None:
    """A key of the configuration stands in default.yaml, under a comment of a sentence at least."""
    lines = DEFAULTS.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith(f"  {key}:") for line in lines), f"configs/default.yaml lacks {section}.{key}"
    assert len(comment_above(lines, section, key).split()) >= 6


@pytest.mark.parametrize("name", ["configs/schema.json", "docs/results.schema.json"])
def test_schema_is_current(name: str) -> None:
    """A schema is what the code would write; if not, run python scripts/write_schema.py."""
    script = load_script("write_schema")
    described = script.SCHEMAS[ROOT / name]
    assert (ROOT / name).read_text(encoding="utf-8") == script.format_schema(described)


def test_schema_of_results_describes_every_value() -> None:
    """Whoever reads a results.json finds the meaning of each of its values."""
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
    for described in (schema, *schema["$defs"].values()):
        for name, value in described["properties"].items():
            assert value.get("description") or "$ref" in value or "$ref" in value.get("items", {}), name


@pytest.mark.parametrize(("section", "key"), KEYS, ids=KEY_NAMES)
def test_schema_describes_every_key(section: str, key: str) -> None:
    """An editor that reads the schema has help to show for a key."""
    schema = json.loads((ROOT / "configs" / "schema.json").read_text(encoding="utf-8"))
    name = schema["properties"][section]["$ref"].rsplit("/", 1)[-1]
    assert schema["$defs"][name]["properties"][key]["description"]
