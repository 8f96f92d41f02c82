"""The sections and keys of a configuration, with the type, range, default and meaning of each."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from charlm.config.validation import check
from charlm.config.yaml_source import Scalar, write_yaml

MAX_SIZE = 2**20
"""Above any width, batch, window or sample that is useful; it catches typing errors."""


MAX_COUNT = 10**12
"""Above any number of steps of a run; it catches typing errors, and keeps products within 64 bits."""


class Section(BaseModel):
    """A group of keys; unknown keys, values of another type and text that is not valid UTF-8 are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _require_utf8(cls, value: Scalar) -> Scalar:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise PydanticCustomError("string_unicode", "not valid UTF-8") from None
        return value


class DataConfig(Section):
    """The training text."""

    path: str = Field(
        "builtin:python-docs", min_length=1, description="The text: a file, a directory, a glob, or builtin:NAME."
    )
    level: Literal["char", "byte"] = Field("char", description="Symbols: Unicode code points (char) or bytes (byte).")
    val_frac: float = Field(
        0.1, gt=0, lt=1, description="Fraction of the text for validation, after the training part."
    )
    test_frac: float = Field(0.0, ge=0, lt=1, description="Fraction of the text for testing, at its end.")
    vocabulary: Literal["union", "text"] = Field(
        "union",
        description="Symbols of a run with train.init_from: those of its base and its text (union), or of its text.",
    )


class ModelConfig(Section):
    """The network."""

    num_layers: int = Field(2, ge=1, le=100, description="Number of LSTM layers.")
    hidden_size: int = Field(128, ge=1, le=MAX_SIZE, description="Hidden units of each LSTM layer.")
    embed_size: int = Field(64, ge=1, le=MAX_SIZE, description="Width of the character embedding.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Fraction of each layer's output features dropped in training, one mask a step."
    )
    dropconnect: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the recurrent weights dropped in training, one mask a step."
    )
    embedding_dropout: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the symbols whose embedding is dropped in training, one mask a step."
    )


class TrainConfig(Section):
    """The optimization."""

    init_from: str = Field(
        "", description="Run, checkpoint or export whose weights the run begins with; empty for new ones."
    )
    init_digest: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="The model that train.init_from must hold, filled in by charlm: 64 hexadecimal digits, or empty.",
    )
    batch_size: int = Field(32, ge=1, le=MAX_SIZE, description="Parallel streams of text in a step.")
    seq_length: int = Field(64, ge=1, le=MAX_SIZE, description="Characters of each stream in a step.")
    max_steps: int = Field(
        2000, ge=1, le=MAX_COUNT, description="Optimizer steps in the whole run; the maximum if patience is above 0."
    )
    patience: int = Field(
        0,
        ge=0,
        le=MAX_COUNT,
        description="Consecutive validations without a lower loss after which a run ends early; 0 for none.",
    )
    learning_rate: float = Field(0.01, gt=0, description="Peak learning rate.")
    decay_frac: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Fraction of the steps, at the end, in which the learning rate falls to the floor; 1 for all.",
    )
    learning_rate_floor_frac: float = Field(
        0.05, ge=0, le=1, description="Final learning rate as a fraction of the peak."
    )
    warmup_steps: int = Field(100, ge=0, le=MAX_COUNT, description="Linear warm-up steps.")
    grad_clip: float = Field(1.0, ge=0, description="Maximum global norm of the gradient; 0 for no limit.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW weight decay of the weight matrices; biases have none.")
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the exponential moving average of the weights that is validated and kept; 0 for none.",
    )
    reset_probability: float = Field(
        0.02, ge=0, lt=1, description="Probability per step that a stream restarts from the zero state."
    )
    log_every: int = Field(25, ge=1, le=MAX_COUNT, description="Steps between two rows of training metrics.")
    eval_every: int = Field(500, ge=1, le=MAX_COUNT, description="Steps between two validations.")
    checkpoint_every: int = Field(500, ge=1, le=MAX_COUNT, description="Steps between two saves of last.pt.")
    checkpoint_minutes: float = Field(
        0.0, ge=0, description="Minutes since the last save after which last.pt is saved again; 0 for no such limit."
    )
    keep: int = Field(2, ge=1, le=100, description="Number of resumable saves kept: last.pt, last-1.pt and so on.")
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of the initial weights, of dropout and of random restarts.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="Device to train on: auto, cpu, cuda, cuda:N or mps.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Precision of the matrix products in training; auto takes bf16 where it is fast."
    )
    kernel: Literal["auto", "cpu", "torch", "reference"] = Field(
        "auto", description="Implementation of the LSTM over a sequence; auto takes the fastest available."
    )


class SampleConfig(Section):
    """The sample that is drawn at every validation."""

    prompt: str = Field("", description="Text that the sample continues; empty to start without a prompt.")
    length: int = Field(300, ge=1, le=MAX_SIZE, description="Characters in the sample.")
    temperature: float = Field(0.8, ge=0, description="Sampling temperature; 0 always takes the most likely character.")


class Config(Section):
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()

    def to_yaml(self) -> str:
        """Return the YAML that ``load_config`` reads back as an equal configuration."""
        return write_yaml(self.model_dump())

    def find_differences(self, other: "Config") -> dict[str, tuple[Scalar, Scalar]]:
        """Return both values of each key that differs in another configuration, by its full name."""
        trees = self.model_dump(), other.model_dump()
        return {
            f"{section}.{key}": (value, trees[1][section][key])
            for section, keys in trees[0].items()
            for key, value in keys.items()
            if value != trees[1][section][key]
        }

    def replace(self, section: str, **values: Scalar) -> "Config":
        """Return a copy with values of one section replaced; the other keys stay given or not given, as they are.

        Raises:
            ConfigError: there is no such section or key, or a value is out of its range.
        """
        tree = self.model_dump(exclude_unset=True)
        tree[section] = tree.get(section, {}) | values
        return check(Config, tree, "the changed configuration")
