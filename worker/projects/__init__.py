"""What is configured for each project, and how its messages become responses."""
