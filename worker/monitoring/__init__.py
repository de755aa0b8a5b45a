"""What an on-call engineer needs to see: metrics, probes, and the server that shows them."""
