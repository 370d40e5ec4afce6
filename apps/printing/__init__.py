"""HTML that a template has rendered, as a PDF to print: `python -m apps.printing < page.html > page.pdf`.

It runs in a process of its own (`apps/optimization/services/printing.py`): the web process loads neither ReportLab nor
Pillow, which that brings, and a page of any length holds up nothing but its own request. It knows nothing of Django or
of reports: what is printed is said by the template, in the language and the time zone of whoever asks.

Only what templates of reports use is understood: sections, headings, paragraphs, lists, tables, and SVG of lines,
rectangles, circles, paths and texts. Classes mean what they mean in `static/lathe.css`. A shape that is not known
raises `ValueError`.
"""
