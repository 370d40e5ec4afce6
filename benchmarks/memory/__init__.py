"""What the history of sessions is worth: recorded measurements of real models, and the search replayed on them."""
