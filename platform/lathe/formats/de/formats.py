"""German pages have the point of all measured numbers: a figure looks the same on a page, in a report and in the API.

A point between thousands beside it could be misread, so a narrow space stands there (ISO 80000-1).
"""

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = "\N{NARROW NO-BREAK SPACE}"
