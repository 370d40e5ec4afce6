"""The kind and contents of a file, read from its bytes without an ML library and without loading its arrays.

Sniffing, archives, and headers of arrays, tables, texts and ONNX graphs. Imports nothing heavy: a data set is inspected
in the web process before it is stored. Any room may import it; it imports only `contracts`. Add the recognition of a
new file format here.
"""
