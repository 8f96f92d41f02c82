"""Character-level LSTM language models: train, sample, evaluate and compare."""
