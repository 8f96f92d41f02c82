#!/usr/bin/env python3
"""Write configs/schema.json, from which an editor completes and checks the YAML files beside it."""

import json
from pathlib import Path

import click
from pydantic.json_schema import GenerateJsonSchema

from charlm.config import Config

SCHEMA_PATH = Path(__file__).resolve().parents[1] / "configs" / "schema.json"


def format_schema() -> str:
    """Return the JSON schema of the configuration, as the file should hold it."""
    schema = {"$schema": GenerateJsonSchema.schema_dialect, **Config.model_json_schema()}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@click.command()
@click.option("--check", "is_check", is_flag=True, help="Write nothing; fail if the file is not current.")
def main(is_check: bool) -> None:
    """Write configs/schema.json."""
    schema = format_schema()
    if not is_check:
        SCHEMA_PATH.write_text(schema, encoding="utf-8", newline="\n")
    elif not SCHEMA_PATH.exists() or SCHEMA_PATH.read_text(encoding="utf-8") != schema:
        raise click.ClickException(f"{SCHEMA_PATH} is not current: run python scripts/write_schema.py.")


if __name__ == "__main__":
    main()
