"""The model card."""

import re
from dataclasses import replace

import pytest
import yaml

from charlm.export.card import MAX_POINTS, escape_markdown, fence, format_code, thin_curve, write_card
from charlm.inference.trained import TrainedModel
from charlm.runs.metrics import Row
from charlm.text.baselines import measure_baselines


def rows(count: int) -> list[Row]:
    """Return validations with a falling loss, each after a row of training."""
    return [
        {"step": 10 * n, "split": split, "bits_per_char": 4.0 - 2 * n / count}
        for n in range(1, count + 1)
        for split in ("train", "val")
    ]


@pytest.fixture(scope="module")
def card(trained: TrainedModel) -> str:
    """Return the card of a model whose text is there."""
    return write_card(trained, "bottles", rows(3), has_text=True)


def test_front_matter_is_what_hubs_read(card: str) -> None:
    """It is YAML at the top, with the keys of model hubs, and the licence is not known."""
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "unknown",
        "library_name": "charlm",
        "pipeline_tag": "text-generation",
        "tags": ["lstm", "character-level"],
    }
    assert body.startswith("\n# bottles\n")


def test_the_loss_stands_beside_the_baselines(card: str, trained: TrainedModel) -> None:
    """Every baseline and the model have a row, with the figures that are measured."""
    found = dict(re.findall(r"^\| \**([\w ]+?)\** \| \**([\d.]+)\** \|$", card, re.MULTILINE))
    baselines = measure_baselines(trained.load_split("train"), trained.load_split("val"), trained.vocabulary)
    assert {name: found[name] for name in baselines} == {name: f"{bits:.3f}" for name, bits in baselines.items()}
    assert found["this model"] == f"{trained.evaluate_split('val').bits_per_char:.3f}"


def test_what_it_was_trained_on(card: str, trained: TrainedModel) -> None:
    """Name, size and digest of the text are there; neither its directory nor its content is."""
    text = trained.vocabulary.decode(trained.load_ids())
    assert "| text | `song.txt` |" in card
    assert f"| size | {len(text):,} characters, of which 90 % trained, 10 % validated and 0 % test |" in card
    assert f"| digest | `{trained.checkpoint.corpus_digest}` |" in card
    assert trained.checkpoint.config.data.path not in card
    assert text[:100] not in card
    assert "3 of 2 streams of 8 characters" in card


def test_what_it_began_with(card: str, trained: TrainedModel) -> None:
    """The base of a run is named with its digest, and without its directory."""
    assert "began with" not in card
    config = trained.checkpoint.config.replace("train", init_from="runs/base", init_digest="0f" * 32)
    derived = replace(trained, checkpoint=replace(trained.checkpoint, config=config))
    line = f"| began with | the model `base`, digest `{'0f' * 32}` |\n| steps |"
    assert line in write_card(derived, "x", [], has_text=False)


def test_samples_are_those_of_charlm_sample(card: str, trained: TrainedModel) -> None:
    """Each sample is what the command writes with the seed that the card names."""
    for temperature in (0.5, 0.8):
        sample = trained.sample(length=400, temperature=temperature, seed=1)
        assert f"At temperature {temperature}, without a prompt (`--seed 1`):\n\n```text\n{sample}\n```" in card


def test_the_curve_has_the_validations(card: str) -> None:
    """A row for each validation, with a bar as long as its loss."""
    assert f"| 10 | 3.333 | {'█' * 40} |\n| 20 | 2.667 | {'█' * 32} |\n| 30 | 2.000 | {'█' * 24} |" in card


def test_copies_are_measured(card: str) -> None:
    """Each sample and the validation text have their shares of copied characters."""
    assert "| text | 20 | 40 | 80 | longest match |" in card
    assert re.search(r"^\| validation text \| [\d.]+% \| [\d.]+% \| [\d.]+% \| \d+ \|$", card, re.MULTILINE)


def test_tables_stand_alone(card: str) -> None:
    """A blank line is above and below each table, as Markdown wants it."""
    assert re.findall(r"^[^|\n].*\n\|.*", card, re.MULTILINE) == []
    assert re.findall(r"^\|.*\n[^|\n].*", card, re.MULTILINE) == []


def test_without_the_text(trained: TrainedModel) -> None:
    """A model whose text is not there says so instead of figures."""
    card = write_card(trained, "x", [], has_text=False)
    assert "| size | not known here |" in card
    assert "The baselines were not measured" in card
    assert "Not measured, as the training text was not at hand." in card
    assert "| step |" not in card


def test_a_byte_model(trained: TrainedModel) -> None:
    """The unit of a byte model is the byte, and a loss that nobody measured is not a number."""
    checkpoint = replace(trained.checkpoint, loss_nats=None)
    vocabulary = type(trained.vocabulary)("byte")
    card = write_card(replace(trained, checkpoint=checkpoint, vocabulary=vocabulary), "x", [], has_text=False)
    assert "- byte-level" in card
    assert "A language model of single bytes" in card
    assert "This model: not measured." in card


@pytest.mark.parametrize(
    ("count", "steps"), [(0, []), (1, [10]), (12, [*range(10, 130, 10)]), (26, [*range(20, 270, 30)])]
)
def test_a_long_curve_is_thinned(count: int, steps: list[int]) -> None:
    """At most MAX_POINTS validations are kept; the last one always is."""
    points = [point["step"] for point in thin_curve(rows(count))]
    assert points == steps
    assert len(points) <= MAX_POINTS


def test_any_text_is_shown_as_it_is() -> None:
    """Nothing in names and samples ends a block, a table or a line, or hides what stands around it."""
    assert fence("a\n````\nb\x1b") == "`````text\na\n````\nb␛\n`````"
    assert format_code("a`b|c\n") == "`aˋb¦c↵`"
    assert escape_markdown("<b>*x*\u202e|") == r"\<b\>\*x\*\[U+202E\]\|".replace(r"\[U+202E\]", r"\[U+202E\]")
