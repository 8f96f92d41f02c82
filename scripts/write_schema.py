#!/usr/bin/env python3
"""Write the JSON schemas of the files that charlm reads and writes.

configs/schema.json, from which an editor completes and checks the YAML files beside it, and docs/results.schema.json,
which says what each value of a comparison's results.json means.
"""

import json
from pathlib import Path

import click
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from charlm.comparison.results import Results
from charlm.config import Config

REPOSITORY = Path(__file__).resolve().parents[1]

SCHEMAS: dict[Path, type[BaseModel]] = {
    REPOSITORY / "configs" / "schema.json": Config,
    REPOSITORY / "docs" / "results.schema.json": Results,
}


def format_schema(described: type[BaseModel]) -> str:
    """Return the JSON schema of a model, as its file should hold it."""
    schema = {"$schema": GenerateJsonSchema.schema_dialect, **described.model_json_schema()}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@click.command()
@click.option("--check", "is_check", is_flag=True, help="Write nothing; fail if a file is not current.")
def main(is_check: bool) -> None:
    """Write configs/schema.json and docs/results.schema.json."""
    for path, described in SCHEMAS.items():
        schema = format_schema(described)
        if not is_check:
            path.write_text(schema, encoding="utf-8", newline="\n")
        elif not path.exists() or path.read_text(encoding="utf-8") != schema:
            raise click.ClickException(f"{path} is not current: run python scripts/write_schema.py.")


if __name__ == "__main__":
    main()
