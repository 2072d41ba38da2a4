"""Click rates of ads, answered in milliseconds.

- `models.py` keeps the champion of every CTR model loaded, and its challenger while an experiment runs
- `predictor.py` routes a row to an arm, looks whether its rate was computed ahead, computes it otherwise
- `precomputed.py` is that store, in Redis; `ahead.py` decides what is put there
- `log.py` writes down every prediction
- `routes.py` and `bodies.py` are how it is asked over HTTP; `experiment_routes.py` manages experiments
- `metrics.py` counts
"""
