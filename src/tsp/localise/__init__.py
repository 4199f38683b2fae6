"""Downstream localisers on frozen features: one module per method, the contract in `method`."""
