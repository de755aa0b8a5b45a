"""Reports for people: text, a page of HTML, exports, evaluations."""
