"""The typed configuration: what loads, what is refused and in which words, and the way back to YAML."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from charlm.config import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig, load_config, parse_config
from charlm.config.schema import MAX_SIZE
from charlm.errors import ConfigError, InputError

FAULTY_CONFIGS = Path(__file__).with_name("faulty_configs")

PROBLEMS = {
    "base_sixty": [
        "line 2, train.max_steps: YAML reads 1:30 as a different number; write it in decimal digits, or quote it.",
        "line 3, train.learning_rate: YAML reads 1:30.5 as a number in base 60; write it in decimal, or quote it.",
    ],
    "beyond_unicode": ["invalid YAML: Python int too large to convert to C int."],
    "deeply_nested": ["invalid YAML: nested too deeply."],
    "duplicated_key": [
        "line 4, train.seed: already set on line 2; keep one.",
        "line 7, train: already set on line 1; keep one.",
    ],
    "fractions_leave_nothing": [
        "line 4, data.val_frac: with test_frac it leaves nothing to train on (together 1 of 1).",
    ],
    "list_for_scalar": [
        "line 2, model.hidden_size: expected one value, got a list.",
        "line 3, model.dropout: expected one value, got keys and values.",
        "line 5: expected a key, got a list.",
    ],
    "many_mistakes": [
        "line 2, model.hiden_size: unknown key. Did you mean 'hidden_size'?",
        "line 4, model.dropout: already set on line 3; keep one.",
        "line 6, train.seed: YAML reads 010 as a different number; write it in decimal digits, or quote it.",
        "line 7, train.learning_rate: expected a number above 0, got 'fast'.",
    ],
    "misspelt_key": ["line 4, model.hiden_size: unknown key. Did you mean 'hidden_size'?"],
    "mistyped_value": [
        "line 2, train.learning_rate: expected a number above 0, got 'fast'.",
        "line 3, train.max_steps: expected a whole number of at least 1 and at most 1,000,000,000,000, got 1.5.",
        "line 4, train.batch_size: expected a whole number of at least 1 and at most 1,048,576, got '32'.",
        "line 5, train.seed: expected a whole number of at least 0 and below 9,223,372,036,854,775,808, got True.",
        "line 7, data.path: expected text of length at least 1, got 7.",
        "line 8, data.level: expected one of char, byte, got 'word'.",
    ],
    "not_a_mapping": ["line 2: expected sections such as 'train:', got a list."],
    "not_yaml": ["line 3, column 1: invalid YAML: found character '\\t' that cannot start any token."],
    "octal_number": [
        "line 2, train.seed: YAML reads 010 as a different number; write it in decimal digits, or quote it.",
        "line 3, train.max_steps: YAML reads 0x10 as a different number; write it in decimal digits, or quote it.",
    ],
    "off_as_boolean": [
        "line 2, model.dropout: YAML reads off as true or false; write true, false, or quote the word.",
        "line 4, data.path: YAML reads yes as true or false; write true, false, or quote the word.",
    ],
    "out_of_range": [
        "line 2, data.val_frac: expected a number above 0 and below 1, got 1.",
        "line 3, data.test_frac: expected a number of at least 0 and below 1, got -0.1.",
        "line 5, model.num_layers: expected a whole number of at least 1 and at most 100, got 0.",
        "line 6, model.dropout: expected a number of at least 0 and below 1, got 1.0.",
        "line 7, model.hidden_size: expected a whole number of at least 1 and at most 1,048,576, got 2000000.",
        "line 9, train.learning_rate: expected a number above 0, got 0.",
        "line 10, train.grad_clip: expected a number of at least 0, got inf.",
        "line 11, train.device: expected auto, cpu, cuda, cuda:N or mps, got 'gpu'.",
    ],
    "patience_without_effect": [
        "line 2, train.patience: with train.eval_every=500 a patience of 3 can run out after step 2,000 at the "
        "earliest, and train.max_steps is 2,000. Lower train.eval_every.",
        "line 4, data.val_frac: with test_frac it leaves nothing to train on (together 1 of 1).",
    ],
    "scalar_for_section": [
        "line 1, train: expected keys below it, got '5'.",
        "line 2, model: expected keys below it, got a list.",
    ],
    "unknown_key": [
        "line 2, modle: unknown key. Did you mean 'model'?",
        f"line 5, train.zzz: unknown key. Known here: {', '.join(TrainConfig.model_fields)}.",
    ],
}


def write(directory: Path, text: str) -> Path:
    """Write a YAML file and return its path."""
    path = directory / "config.yaml"
    path.write_bytes(text.encode())
    return path


def problems_of(*overrides: str, path: Path | None = None) -> list[str]:
    """Return what is wrong with a file or the defaults under overrides."""
    with pytest.raises(ConfigError) as raised:
        load_config(path, overrides)
    return raised.value.problems


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_faulty_file_is_refused(name: str) -> None:
    """Every mistake of a file is told at once, with its line, the key, the value and the remedy."""
    assert problems_of(path=FAULTY_CONFIGS / f"{name}.yaml") == PROBLEMS[name]


def test_every_faulty_file_is_tested() -> None:
    """No file lies among the faulty ones without a test that reads it."""
    assert {path.stem for path in FAULTY_CONFIGS.iterdir()} == {*PROBLEMS, "not_utf8"}


def test_the_message_counts_and_lists_the_problems() -> None:
    """The whole message names the file, the number of problems and that nothing was written."""
    path = FAULTY_CONFIGS / "scalar_for_section.yaml"
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    first, second = PROBLEMS["scalar_for_section"]
    assert str(raised.value) == f"{path} has 2 problems; nothing was written.\n  {first}\n  {second}"
    assert raised.value.exit_status == 2


def test_one_problem_is_singular() -> None:
    """A single mistake is not called problems."""
    with pytest.raises(ConfigError, match=r"^the command line has 1 problem; nothing was written\.\n  --set "):
        load_config(None, ["train.seed=-1"])


def test_a_file_that_is_not_utf8_is_refused() -> None:
    """A file in another encoding names the byte and the remedy."""
    with pytest.raises(InputError, match=r"not_utf8\.yaml: not UTF-8 text \(byte 17: .*\); save it as UTF-8\.$"):
        load_config(FAULTY_CONFIGS / "not_utf8.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A path of nothing says so, and that the defaults need no file."""
    with pytest.raises(InputError, match=r"none\.yaml: there is no such configuration file\. .*defaults train"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", [".", "nul\0"])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    """A directory, or a name that no file can have, is the user's mistake."""
    with pytest.raises(InputError, match="cannot be read as a configuration: "):
        load_config(tmp_path / name)


def test_a_device_is_refused() -> None:
    """A device, which might never end, is refused."""
    with pytest.raises(InputError, match=r"^/dev/zero: a device, not a regular file"):
        load_config("/dev/zero")


def test_without_a_file_the_defaults_load() -> None:
    """No file and no override give the defaults, and those train on what every Python carries."""
    assert load_config(None) == Config()
    assert Config().data.path == "builtin:python-docs"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "train:\nmodel: ~\n", "\ufeff"], ids=repr)
def test_an_empty_file_is_the_defaults(text: str, tmp_path: Path) -> None:
    """Nothing at all, and sections without keys, change nothing; neither does a byte-order mark."""
    assert load_config(write(tmp_path, text)) == Config()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    """Keys that a file gives replace the defaults and leave the others."""
    config = load_config(write(tmp_path, "\ufeffdata:\r\n  path: 'é.txt'\r\nmodel: {num_layers: 3, dropout: 0}\r\n"))
    assert config == Config(data=DataConfig(path="é.txt"), model=ModelConfig(num_layers=3, dropout=0.0))


@pytest.mark.parametrize(
    ("written", "value"), [("2e-3", 2e-3), ("1E-4", 1e-4), (".5e+0", 0.5), ("3", 3.0), ("0.002", 0.002)]
)
def test_a_number_is_read_as_it_looks(written: str, value: float, tmp_path: Path) -> None:
    """A learning rate in any usual notation is that number, in a file as in an override."""
    path = write(tmp_path, f"train: {{learning_rate: {written}}}")
    assert load_config(path).train.learning_rate == value
    assert load_config(None, [f"train.learning_rate={written}"]).train.learning_rate == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("learning_rate: 0.01", "line 1, learning_rate: unknown key. Did you mean 'train.learning_rate'?"),
        ("\nlearnin_rate: 0.01", "line 2, learnin_rate: unknown key. Did you mean 'train.learning_rate'?"),
        ("hidden_size:\n  a: 1", "line 1, hidden_size: unknown key. Did you mean 'model.hidden_size'?"),
        ("train: {dropout: 0.1}", "line 1, train.dropout: unknown key. Did you mean 'model.dropout'?"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_its_section(text: str, problem: str, tmp_path: Path) -> None:
    """A key that stands outside its section is answered with its full name, and with nothing else."""
    assert problems_of(path=write(tmp_path, text)) == [problem]


def test_what_is_not_given_has_the_value_of_the_base(tmp_path: Path) -> None:
    """A file and overrides apply over another configuration where one is given."""
    base = Config().replace("model", num_layers=5, hidden_size=7).replace("train", seed=3)
    config = load_config(write(tmp_path, "model: {hidden_size: 8}"), ["train.seed=4"], base)
    assert config == base.replace("model", hidden_size=8).replace("train", seed=4)


def test_an_override_wins_over_the_file(tmp_path: Path) -> None:
    """Overrides apply over the file, and the later of two over the earlier."""
    path = write(tmp_path, "model: {hidden_size: 10, num_layers: 4}")
    config = load_config(path, ["model.hidden_size=20", "train.seed=5", "model.hidden_size=30"])
    assert (config.model.hidden_size, config.model.num_layers, config.train.seed) == (30, 4, 5)


@pytest.mark.parametrize("text", ["2e-3", "010", "off", "a=b", " blank ", "null", "[1, 2]", "#1", "", "é😀"])
def test_an_override_of_text_is_taken_as_it_stands(text: str) -> None:
    """The value of a text key is what follows the first equals sign, whatever YAML would make of it."""
    assert load_config(None, [f"sample.prompt={text}"]).sample.prompt == text


@pytest.mark.parametrize("override", ["", "foo=1", "train.seed", "train=1", "train.=1", ".seed=1", "=1"])
def test_an_override_without_its_parts_is_refused(override: str) -> None:
    """An override that lacks its section, key or value shows how one looks."""
    expected = f"--set {override}: expected SECTION.KEY=VALUE, as in model.hidden_size=512."
    assert problems_of(override) == [expected]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.hiden_size=3", "--set model.hiden_size: unknown key. Did you mean 'hidden_size'?"),
        ("modle.hidden_size=3", "--set modle: unknown key. Did you mean 'model'?"),
        ("train.seed=010", "--set train.seed: YAML reads 010 as a different number; write it in decimal digits, or "
                           "quote it."),
        ("model.dropout=off", "--set model.dropout: YAML reads off as true or false; write true, false, or quote the "
                              "word."),
        ("model.dropout=", "--set model.dropout: expected a number of at least 0 and below 1, got None."),
        ("train.grad_clip=.NAN", "--set train.grad_clip: expected a number of at least 0, got nan."),
        ("train.grad_clip=-.INF", "--set train.grad_clip: expected a number of at least 0, got -inf."),
        ("train.kernel=gpu", "--set train.kernel: expected one of auto, cpu, torch, reference, got 'gpu'."),
        ("data.path=", "--set data.path: expected text of length at least 1, got ''."),
        ("data.path=a\udcff", "--set data.path: expected text in UTF-8, got 'a\\udcff'."),
        ("sample.prompt=a\udcff", "--set sample.prompt: expected text in UTF-8, got 'a\\udcff'."),
        ("train.init_from=a\udcff", "--set train.init_from: expected text in UTF-8, got 'a\\udcff'."),
        ("a.b.c=1", "--set a: unknown key. Known here: data, model, train, sample."),
        ("hidden_size=3", "--set hidden_size: unknown key. Did you mean 'model.hidden_size'?"),
        ("hiden_size=3", "--set hiden_size: unknown key. Did you mean 'model.hidden_size'?"),
        ("modle=3", "--set modle: unknown key. Did you mean 'model'?"),
        ("model.learning_rate=1", "--set model.learning_rate: unknown key. Did you mean 'train.learning_rate'?"),
    ],
)  # fmt: skip
def test_a_faulty_override_is_refused(override: str, problem: str) -> None:
    """A mistake in an override is told by its key."""
    assert problems_of(override) == [problem]


def test_mistakes_of_a_file_and_of_overrides_are_told_together() -> None:
    """One message holds the overrides' mistakes and then the file's, in the order of its lines."""
    path = FAULTY_CONFIGS / "many_mistakes.yaml"
    overrides = ("train.batch_size=0", "train.learning_rate=0.1", "sead=1")
    assert problems_of(*overrides, path=path) == [
        "--set sead: unknown key. Did you mean 'train.seed'?",
        "--set train.batch_size: expected a whole number of at least 1 and at most 1,048,576, got 0.",
        *PROBLEMS["many_mistakes"][:-1],
    ]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "val_frac", 0.999),
        ("data", "test_frac", 0.0),
        ("model", "num_layers", 100),
        ("model", "hidden_size", MAX_SIZE),
        ("model", "dropout", 0.999),
        ("train", "seed", 2**63 - 1),
        ("train", "warmup_steps", 0),
        ("train", "grad_clip", 0.0),
        ("train", "learning_rate_floor_frac", 1.0),
        ("train", "device", "cuda:10"),
        ("sample", "temperature", 0.0),
    ],
)
def test_a_value_at_its_limit_is_taken(section: str, key: str, value: float | str) -> None:
    """The ends of the ranges belong to them."""
    assert getattr(getattr(load_config(None, [f"{section}.{key}={value}"]), section), key) == value


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CONFIGS = st.builds(
    Config,
    data=st.builds(
        DataConfig,
        path=TEXT.filter(bool) | st.sampled_from(["2e-3", "1E5", "010", "off", "~", "1:30", "2001-01-01", "<<", "="]),
        level=st.sampled_from(["char", "byte"]),
        val_frac=st.floats(1e-300, 0.5),
        test_frac=st.floats(0, 0.49),
    ),
    model=st.builds(ModelConfig, num_layers=st.integers(1, 100), hidden_size=st.integers(1, MAX_SIZE)),
    train=st.builds(
        TrainConfig,
        learning_rate=st.floats(0, exclude_min=True, allow_infinity=False),
        weight_decay=st.floats(0, allow_infinity=False) | st.integers(0, 10**30),
        max_steps=st.integers(1, 10**12),
        seed=st.integers(0, 2**63 - 1),
        device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3", "mps"]),
    ),
    sample=st.builds(SampleConfig, prompt=TEXT | st.from_regex(r"\A[-+]?[0-9.]{1,3}[eE][-+]?[0-9]{1,3}\Z")),
)


@given(CONFIGS)
def test_yaml_written_is_the_configuration_read(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    """Whatever a configuration holds, its YAML loads as an equal one."""
    assert load_config(write(tmp_path_factory.getbasetemp(), config.to_yaml())) == config


@given(CONFIGS)
def test_plain_values_are_the_configuration_parsed(config: Config) -> None:
    """What a checkpoint stores of a configuration parses as an equal one."""
    assert parse_config(config.model_dump(), "last.pt") == config


def test_to_yaml_states_every_key_in_order() -> None:
    """The YAML of the defaults names all sections and keys in the order of the code."""
    keys = re.findall(r"^ *(\w+):", Config().to_yaml(), re.MULTILINE)
    tree = Config().model_dump()
    assert keys == [key for section in tree for key in (section, *tree[section])]


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"model": {"dropout": "high"}}, "model.dropout: expected a number of at least 0 and below 1, got 'high'."),
        ({"model": {"width": 3}}, f"model.width: unknown key. Known here: {', '.join(ModelConfig.model_fields)}."),
        ({"model": 3}, "model: expected keys and values, got 3."),
        ({"mode": {}}, "mode: unknown key. Did you mean 'model'?"),
        ({"sample": {5: 1}}, "sample.5: unknown key. Known here: prompt, length, temperature."),
        ({5: 1}, "5: unknown key. Known here: data, model, train, sample."),
    ],
)
def test_a_faulty_tree_is_refused(tree: dict[str, object], problem: str) -> None:
    """A stored configuration with a mistake names the file that it came from."""
    with pytest.raises(ConfigError) as raised:
        parse_config(tree, "last.pt")
    assert str(raised.value) == f"last.pt has 1 problem; nothing was written.\n  {problem}"


@pytest.mark.parametrize(("base", "is_refused"), [([], True), (["train.init_from=runs/base"], False)])
def test_patience_that_could_never_run_out(base: list[str], is_refused: bool) -> None:
    """A run with a base is validated before its first step, so that its patience can run out one validation earlier."""
    settings = ["train.patience=2", "train.eval_every=10", "train.max_steps=30", *base]
    if is_refused:
        with pytest.raises(ConfigError, match="can run out after step 30 at the earliest"):
            load_config(None, settings)
    else:
        assert load_config(None, settings).train.patience == 2


def test_what_is_given_is_known(tmp_path: Path) -> None:
    """The keys of a file, of overrides and of replace count as given, those of the defaults do not."""
    config = load_config(write(tmp_path, "model:\n  num_layers: 2\n"), ["model.dropout=0.0"])
    assert config.model.model_fields_set == {"num_layers", "dropout"}
    assert config.replace("model", embed_size=64).model.model_fields_set == {"num_layers", "dropout", "embed_size"}
    assert config.replace("train", seed=2).model.model_fields_set == {"num_layers", "dropout"}


def test_differences_between_configurations() -> None:
    """Each key that differs is named with both values."""
    other = Config().replace("model", num_layers=5).replace("sample", prompt="a")
    assert Config().find_differences(other) == {"model.num_layers": (2, 5), "sample.prompt": ("", "a")}
    assert Config().find_differences(Config()) == {}


def test_replace_changes_a_copy() -> None:
    """Replaced values stand in a copy, beside all the others."""
    config = Config(data=DataConfig(level="byte"))
    changed = config.replace("model", num_layers=5, dropout=0.5)
    assert changed == Config(data=DataConfig(level="byte"), model=ModelConfig(num_layers=5, dropout=0.5))
    assert config.model == ModelConfig()


@pytest.mark.parametrize(
    ("section", "key", "value", "problem"),
    [
        ("model", "num_layers", 0, "model.num_layers: expected a whole number of at least 1 and at most 100, got 0."),
        (
            "model",
            "num_layers",
            "2",
            "model.num_layers: expected a whole number of at least 1 and at most 100, got '2'.",
        ),
        ("model", "layers", 2, "model.layers: unknown key. Did you mean 'num_layers'?"),
        ("modle", "num_layers", 2, "modle: unknown key. Did you mean 'model'?"),
    ],
)
def test_replace_checks_its_values(section: str, key: str, value: int | str, problem: str) -> None:
    """A replacement of a wrong range, type or name is refused with the key, the value and what is expected."""
    with pytest.raises(ConfigError) as raised:
        Config().replace(section, **{key: value})
    assert raised.value.problems == [problem]
    assert str(raised.value).startswith("the changed configuration has 1 problem")


def test_a_configuration_cannot_be_changed_in_place() -> None:
    """Assigning to a key raises."""
    with pytest.raises(ValidationError):
        Config().train.seed = 2
