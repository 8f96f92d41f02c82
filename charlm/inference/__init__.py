"""What a trained model does: it samples text, and it is evaluated."""
