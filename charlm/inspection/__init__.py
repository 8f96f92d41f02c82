"""What a trained model does with a text: measures of its cells, its memory and its samples, and a page of them."""
