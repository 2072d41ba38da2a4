"""Champion against challenger on live traffic: started, looked at every day, ended.

The statistics are `ml.experiments`; the traffic is shared by `include.serving.predictions`. Here an
experiment is started when there is something to test (`starting.py`), judged by what its predictions were
followed by (`looking.py`), and kept moving every morning (`morning.py`), so that something is always being
tested.
"""
