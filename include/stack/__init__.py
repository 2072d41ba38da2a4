"""The whole house on one machine: PostgreSQL, Redis, MLflow, vendor sandbox, HTTP service, Airflow: from pip.

`settings.py` says where things live and on which ports, `secrets.py` makes this machine's passwords,
`environment.py` turns both into the variables every program reads, `programs.py` lists the programs with
their health checks, `supervision.py` hands them to supervisord, and `lifecycle.py` starts and stops the lot.
`python -m include.stack` is the front door.
"""
