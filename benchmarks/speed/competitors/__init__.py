"""Those who bring the same predictions to the same Kili, each in processes of its own."""
