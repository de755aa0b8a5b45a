"""A local Kili: enough of its API that the official SDK drives it unmodified, with faults and labelers on demand."""
