"""What one request costs: our executor, the stock one, and an endpoint written by hand, in one run."""
