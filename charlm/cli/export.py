"""charlm export, and charlm import, its inverse."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from charlm.cli.options import PATH, RUN, examples
from charlm.cli.output import show, warn

if TYPE_CHECKING:
    from charlm.export.graph_files import OnnxReport

OUT = click.option("--out", metavar="DIRECTORY", required=True, type=PATH, help="The directory to create.")


@click.command(
    short_help="Write a trained model for other programs.",
    epilog=examples(
        "charlm export runs/default --out exported",
        "charlm export runs/default --format onnx --int8 --out web",
    ),
)
@RUN
@click.option(
    "--format",
    "kind",
    type=click.Choice(["safetensors", "onnx"]),
    default="safetensors",
    show_default=True,
    help="safetensors: the weights by the names of torch.nn.LSTM; onnx: a graph of one step and one of sequences.",
)
@click.option("--int8", is_flag=True, help="With onnx, write quantized graphs too, and print what they cost.")
@OUT
def export(run: Path, kind: Literal["safetensors", "onnx"], int8: bool, out: Path) -> None:
    """Write the model of RUN for other programs, with its vocabulary in config.json and a model card in README.md.

    The card has the losses beside the baselines, samples, and how much of them stands in the training text; the licence
    is left for you to fill in. Graphs are compared with the model before anything is written.
    """
    from charlm.cli.tables import bits_name
    from charlm.export.directory import check_export, export_model
    from charlm.inference.trained import load
    from charlm.runs.directory import RunDirectory

    check_export(out, kind, int8)
    trained = load(run, "cpu", warn)
    rows = RunDirectory(run).read_rows() if run.is_dir() else []
    exported = export_model(trained, out, kind, int8, rows)
    if exported.no_text_reason is not None:
        warn(f"the model card has neither baselines nor a measure of copies: {exported.no_text_reason}")
    show(f"exported: {out}")
    for name, num_bytes in exported.sizes.items():
        show(f"  {name:<20}{num_bytes:>14,} bytes")
    if exported.onnx is not None:
        show(_describe_graphs(exported.onnx, bits_name(trained.vocabulary.level)))
    show(f"  to be filled in: the licence in {out / 'README.md'}")


def _describe_graphs(report: "OnnxReport", unit: str) -> str:
    """Return how near the graphs are to the model, and what the quantization costs."""
    agreement, cost = report.agreement, report.int8
    text = (
        f"  onnxruntime {report.runtime_version}: logits within {agreement.difference:.1e} of the model's, "
        f"greedy text equal for {agreement.num_equal:,} of {report.num_checked:,} characters"
    )
    if cost is not None:
        text += (
            f"\n  int8: {cost.int8_bits:.4f} {unit} instead of {cost.float_bits:.4f} "
            f"({cost.int8_bits - cost.float_bits:+.4f}) on {cost.text}, {cost.num_chars:,} characters"
        )
    return text


@click.command(
    "import",
    short_help="Make a run directory of an exported model.",
    epilog=examples(
        "charlm import exported --out runs/imported", "charlm import model.safetensors --out runs/imported"
    ),
)
@click.argument("model", type=PATH)
@OUT
def import_(model: Path, out: Path) -> None:
    """Make a run directory of MODEL: a directory that charlm export wrote, or its safetensors file.

    A model that PyTorch trained can be imported too, see docs/export.md. Nothing in the files is executed.
    """
    from charlm.export.directory import import_model

    import_model(model, out)
    show(f"imported: {out}")
