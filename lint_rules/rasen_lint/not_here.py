"""What the platform does not do: train on a stream, and train one model on several machines (design, section 10)."""

from __future__ import annotations

_DISTRIBUTED = frozenset(
    {
        *{"bigdl", "dask.distributed", "dask_ml", "dask_xgboost", "deepspeed", "distributed", "horovod"},
        *{
            "lightgbm.DaskLGBMClassifier",
            "lightgbm.DaskLGBMRanker",
            "lightgbm.DaskLGBMRegressor",
            "lightgbm.dask",
        },
        *{
            "mpi4py",
            "pyspark",
            "ray",
            "sparknlp",
            "synapse.ml",
            "tensorflow.distribute",
            "tensorflow_federated",
        },
        *{"torch.distributed", "torch.nn.parallel.DistributedDataParallel", "xgboost.dask", "xgboost.spark"},
    }
)
_STREAMING = frozenset(
    {
        *{"aiokafka", "apache_beam", "bytewax", "confluent_kafka", "faust", "google.cloud.pubsub"},
        *{"google.cloud.pubsub_v1", "kafka", "pathway", "pyflink", "river", "skmultiflow", "streamz"},
    }
)
# They use the devices of one machine.
_ONE_MACHINE = frozenset(
    {
        "tensorflow.distribute.MirroredStrategy",
        "tensorflow.distribute.OneDeviceStrategy",
        "tensorflow.distribute.get_strategy",
    }
)


def what_is_not_here(path: str) -> tuple[str, str] | None:
    """Return the library and what it is for, if a name with dots belongs to one that the platform has no place for."""
    if path in _ONE_MACHINE:
        return None
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in _DISTRIBUTED:
            return name, "training on several machines"
        if name in _STREAMING:
            return name, "training on a stream"
    return None
