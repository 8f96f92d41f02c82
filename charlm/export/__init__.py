"""Trained models in other formats: safetensors, ONNX graphs, and the model card that goes with them."""
