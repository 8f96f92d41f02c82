"""The typed configuration: YAML and ``--set`` in, YAML out, and every check between."""

from charlm.config.loading import load_config, parse_config
from charlm.config.schema import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig

__all__ = ["Config", "DataConfig", "ModelConfig", "SampleConfig", "TrainConfig", "load_config", "parse_config"]
