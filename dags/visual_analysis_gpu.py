"""Looks at every new video once: scenes, pace, look, sound, embeddings; in GPU pods that may die.

## What
`find_videos` lists the videos of creatives that have none in the catalogue (`visual.creative_video`;
`visual_night.uri_template` says where files are, the demo draws a few), takes those nobody has looked
at and failed ones whose file changed, and shares them out by bytes. `analyse` is mapped over the shards:
each is a pod of `KubernetesPodOperator` with one GPU, deferred while it runs, at most as many at once as
pool `gpu` has slots. Without connection `kubernetes_gpu` the same job runs as a process of the worker.
Jobs write a file per video as they go, so a pod that is evicted, preempted or killed costs one batch: the
next attempt goes on from there, on another node. `collect` loads the files into PostgreSQL, also those of
shards that did not come to their end; loading again changes nothing. `publish` tells whoever learns from
videos, where there are new ones. A video that cannot be analysed is `failed` with the reason, and holds up
nobody. Numbers of the GPU go to Airflow's metrics as `visual.*`.
docs/visual_pods.md tells how to set up node pool, image and connection.

## When it fails
- *PodLost*, *JobStopped*, *JobCrashed*: the cluster took the pod, or its process died. Retried by
  itself, from the last batch; only a shard that fails every time needs a look at the log of `analyse`.
- *PodNotScheduled*: no GPU node had room within half an hour: see the node pool's limit and the quota.
- *PodNotStarted*: the image could not be pulled; see connection `kubernetes_gpu`, extras `image` and
  `pull_secret`.
- *ClusterRefused*, *ConnectionIncomplete*: the token, its permissions, or an extra that is missing.
- *JobRefusedManifest*: the model or the settings cannot be used; the end of the job's log says which.
- A task that stays *queued* or *scheduled*: pool `gpu` is full, or it is missing:
  `airflow pools set gpu 4 GPUs --include-deferred`.

## Can it wait?
Yes, for days: nothing is served from it directly. New videos wait in the catalogue for the next night.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from nightshift.assets import ADS_PERFORMANCE, VISUAL_SCENES
from nightshift.operators.visual_job import VisualJob
from nightshift.policy import house
from nightshift.run_day import day_param, run_day


@dag(
    **house(schedule="0 3 * * *", tags=["visual", "nightly"], dagrun_timeout=timedelta(hours=12)),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "sampling": Param(
            None,
            type=["null", "string"],
            enum=[None, "2fps", "keyframes", "all"],
            title="Sampling",
            description="Frames that are looked at; empty: visual_night.sampling. Another one looks anew.",
        ),
        "account": Param(
            None,
            type=["null", "string"],
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
            title="Account",
            description="Videos of this account alone. Empty: of all.",
        ),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=100_000,
            title="Most videos",
            description="What this run may take on; empty: visual_night.videos_per_night.",
        ),
        "again": Param(
            None,
            type=["null", "string"],
            enum=[None, "failed", "all"],
            title="Again",
            description="failed: also videos that failed. all: every video, as after a new model; what is "
            "known by it costs nothing. Empty: failed ones whose file changed.",
        ),
    },
)
def visual_analysis_gpu() -> None:
    @task(inlets=[ADS_PERFORMANCE])
    def find_videos(params: dict[str, Any]) -> list[dict[str, Any]]:
        from nightshift.analyse_videos import find_shards
        from nightshift.connections import nightshift_engine
        from nightshift.visual_workplace import workplace

        return find_shards(
            nightshift_engine(),
            workplace(),
            sampling=params["sampling"],
            account=params["account"],
            most=params["limit"],
            again=params["again"],
        )

    # Also after a job that failed for good: what it had done by then is done.
    @task(trigger_rule="all_done")
    def collect(shards: Any) -> dict[str, Any]:
        from nightshift.analyse_videos import collect, send_metrics
        from nightshift.connections import nightshift_engine

        collected = collect(shards or [], engine=nightshift_engine())
        send_metrics(collected)
        return collected

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_any_new(collected: dict[str, Any]) -> bool:
        from nightshift.analyse_videos import is_any_new

        return is_any_new(collected)

    # Without new videos nobody has anything to learn: an event would start creative_effects every night.
    @task(outlets=[VISUAL_SCENES])
    def publish(collected: dict[str, Any], params: dict[str, Any], dag_run: Any, outlet_events: Any) -> None:
        outlet_events[VISUAL_SCENES].extra = {
            "day": run_day(params, dag_run).isoformat(),
            "videos": collected["done"],
        }

    @task(trigger_rule="none_failed")
    def report(collected: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        from nightshift.analyse_videos import count_waiting, report
        from nightshift.connections import nightshift_engine

        engine = nightshift_engine()
        waiting = count_waiting(engine, sampling=params["sampling"], account=params["account"])
        return report(collected, waiting=waiting)

    shards = find_videos()
    analysed = VisualJob.partial(
        task_id="analyse",
        pool="gpu",
        # Spot nodes go several times a night; each attempt goes on where the last one was stopped.
        retries=5,
        execution_timeout=timedelta(hours=6),
    ).expand(shard=shards)
    collected = collect(shards)
    analysed >> collected
    published = publish(collected)
    is_any_new(collected) >> published
    [analysed, published] >> report(collected)


visual_analysis_gpu()
