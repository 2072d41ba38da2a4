"""Videos seen once: one decode pass feeds every measurement, batches of frames go through the network, and
what is found is kept under a key that names everything it depends on. `python -m ml.visual.job` is the door;
it runs in a GPU pod and on a laptop alike (docs/visual.md).
"""
