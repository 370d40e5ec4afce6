"""The forms of the pages, a module for each thing that they ask for."""
