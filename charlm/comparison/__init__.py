"""compare-layers: depths at an equal number of parameters, planned, trained and reported."""
