"""The deployment, proven without a container engine: `make deployment-test`, as root, on Linux.

The steps of the Dockerfile are carried out in clean folders, and what compose.yaml starts is started from them as
separate hosts: each has a network namespace, a root file system and a user of its own. PostgreSQL, Redis, an object
store and nginx with TLS stand beside them. A member then optimizes a model through the proxy, and the doctor looks at
it all.
"""
