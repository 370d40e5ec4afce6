"""What a file is and holds, read from its bytes without an ML library and without loading its arrays.

Sniffing, archives, headers of arrays, tables, texts and ONNX graphs. Light: inspection before a data set is stored runs
in the web process. Any room may import it; it imports `contracts` only. Add how a new file format is recognized here.
"""
