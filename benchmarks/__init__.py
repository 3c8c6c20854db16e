"""The project's figures: ratios and counts against a reference measured in the same run. `make bench` runs them."""
