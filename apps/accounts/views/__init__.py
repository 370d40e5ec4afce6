"""The pages of teams, people and accounts."""
