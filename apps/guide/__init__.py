"""The portal's own guide: its documentation as pages, and one search over pages, rows and documentation.

Pages and the API import it; it may import every app that has something to find. A new kind of row that people look for
gets a source in `finding.py`.
"""
