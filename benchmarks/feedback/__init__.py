"""How good the feedback room's statistics are, on what real models said, reviewed as the review policy asks for it."""
