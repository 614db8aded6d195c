"""The proof that a run changes nothing: nodes before and after it, and the API's audit log."""
