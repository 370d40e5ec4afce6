"""What closes a child in, before it reads a byte of an upload: files, network, privileges, limits.

`detect` says which of the kernel's means there are, `close_in` uses them in the child. Each means has its module:
`landlock` (files, TCP, signals), `seccomp` (system calls), `namespaces` (a network of its own) and `privileges`.
`reach` lists what a job may read and write. Nothing here can be undone by the process, nor by those that it starts.
"""
