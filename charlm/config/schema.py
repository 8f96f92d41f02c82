"""The configuration's sections and keys, with the type, range, default and meaning of each."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from charlm.config.yaml_source import Scalar, write_yaml

MAX_SIZE = 2**20
"""Above any width, batch or window that fits a machine; a guard against slips of the keyboard."""


class Section(BaseModel):
    """Keys that belong together; unknown ones and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """What to learn from."""

    path: str = Field("builtin:python-docs", min_length=1, description="A file, a directory, a glob, or builtin:NAME.")
    level: Literal["char", "byte"] = Field("char", description="Symbols are Unicode code points, or bytes.")
    val_frac: float = Field(0.1, gt=0, lt=1, description="Share of the text that validates, after the training part.")
    test_frac: float = Field(0.0, ge=0, lt=1, description="Share of the text that tests, at its end.")


class ModelConfig(Section):
    """The network."""

    num_layers: int = Field(2, ge=1, le=100, description="LSTM layers, one above the other.")
    hidden_size: int = Field(128, ge=1, le=MAX_SIZE, description="Width of every layer.")
    embed_size: int = Field(64, ge=1, le=MAX_SIZE, description="Width of a character's embedding.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of each layer's features dropped in training.")


class TrainConfig(Section):
    """The optimization."""

    batch_size: int = Field(32, ge=1, le=MAX_SIZE, description="Parallel streams of text.")
    seq_length: int = Field(64, ge=1, le=MAX_SIZE, description="Characters each stream advances in a step.")
    max_steps: int = Field(2000, ge=1, description="Steps of the optimizer in the whole run.")
    learning_rate: float = Field(6e-3, gt=0, description="Its highest value, after the warm-up.")
    learning_rate_floor_frac: float = Field(0.05, ge=0, le=1, description="Share of it at which the cosine ends.")
    warmup_steps: int = Field(100, ge=0, description="Steps over which it rises in a line from 0.")
    grad_clip: float = Field(1.0, ge=0, description="Largest global norm of the gradient; 0 for no limit.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's decay, on weight matrices only.")
    average_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay of the moving average of the weights that is kept as the model; 0 for none."
    )
    reset_probability: float = Field(
        0.02, ge=0, lt=1, description="Probability at each step that a stream restarts from the zero state."
    )
    log_every: int = Field(25, ge=1, description="Steps between two lines of training metrics.")
    eval_every: int = Field(500, ge=1, description="Steps between two exact validations.")
    checkpoint_every: int = Field(500, ge=1, description="Steps between two saves of last.pt.")
    checkpoint_minutes: float = Field(0.0, ge=0, description="Minutes after which one more is due; 0 for never.")
    keep: int = Field(
        2, ge=1, le=100, description="Saves that are kept, in case the newest is damaged: last.pt, last-1.pt."
    )
    seed: int = Field(1, ge=0, lt=2**63, description="Of the initial weights and of dropout.")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Of the matrix products in training; auto takes bf16 where it is fast."
    )
    kernel: Literal["auto", "cpu", "reference"] = Field("auto", description="What runs the LSTM over a sequence.")


class SampleConfig(Section):
    """The sample that training shows at every validation."""

    prompt: str = Field("", description="Text to go on from; empty to begin afresh.")
    length: int = Field(300, ge=1, description="Characters to sample.")
    temperature: float = Field(0.8, ge=0, description="0 takes the likeliest character; 1 samples what was learnt.")


class Config(Section):
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()

    def to_yaml(self) -> str:
        """Return the YAML that ``load_config`` reads back as an equal configuration."""
        return write_yaml(self.model_dump())

    def replace(self, section: str, **values: Scalar) -> "Config":
        """Return a copy with values of one section replaced; the values are checked."""
        tree = self.model_dump()
        tree[section].update(values)
        return Config.model_validate(tree)
