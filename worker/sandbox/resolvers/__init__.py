"""How the queries and mutations of the API are answered, by subject."""
