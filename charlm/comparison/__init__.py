"""compare-layers: depths at an equal size, planned, tuned, trained and reported."""
