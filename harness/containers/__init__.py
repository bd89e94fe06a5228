"""Containers for the harness: the only importer of `docker`, and that only when an engine is really asked.

address    which engine: DOCKER_HOST, DOCKER_CONTEXT, the current context, the default socket
wires      a connection to it, over SSH too, and a ping that costs no import
engine     `Engine`: what the harness asks of an engine, with deadlines and explained errors
labels     how everything is marked, so that it can be found and removed by anybody
undo       undo kinds, from data alone: for the guardian and `bigfive sweep`
image      the image that containers run, made without a registry
rootfs     the file systems that it is made of
private    an engine of our own, for faults of scope `engine`
"""
