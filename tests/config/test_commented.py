"""YAML with comments."""

from charlm.config import Config, load_config
from charlm.config.commented import write_commented

REASONS = {"data.path": "Because.", "train.max_steps": "", "model.dropout": "A reason. " * 20}


def test_written_keys_are_read_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The chosen keys are there with their values, also where a text needs quotes; the others have their defaults."""
    for text in ("a b: c # d", "x" * 50 + " " + "y " * 80, "\n\x1b[31m", "#", "ж"):
        config = Config().replace("data", path=text).replace("model", dropout=0.25, num_layers=7)
        written = write_commented(config, REASONS, "Title.")
        (tmp_path / "a.yaml").write_text(written, encoding="utf-8")
        assert load_config(tmp_path / "a.yaml") == config.replace("model", num_layers=Config().model.num_layers)


def test_comments() -> None:
    """Each key stands below its meaning and its reason, in lines that fit an editor."""
    lines = write_commented(Config(), REASONS, "Title.").splitlines()
    assert lines[:5] == [
        "# Title.",
        "",
        "data:",
        "  # The text: a file, a directory, a glob, or builtin:NAME. Because.",
        "  path: builtin:python-docs",
    ]
    assert lines[5:7] == ["", "model:"]
    assert max(map(len, lines)) <= 110
    assert [line for line in lines if line.startswith("  ") and "#" not in line] == [
        "  path: builtin:python-docs",
        "  dropout: 0.0",
        "  max_steps: 2000",
    ]
    comment = [line for line in lines[7:] if line.startswith("  # ")]
    assert " ".join(line.removeprefix("  # ") for line in comment).count("A reason.") == 20
