"""What DCGM exporters and TensorFlow Serving show, as they write it."""

from __future__ import annotations

CARD = 'gpu="0",UUID="GPU-a6158b59",pci_bus_id="00000000:1A:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3"'


def exporter(
    *,
    host_label: str = "Hostname",
    util: str = "12",
    xid: int = 0,
    error_label: str = "",
    dbe: int = 0,
    temperature: int = 41,
    free: int = 70_000,
) -> str:
    """The page of a machine with one GPU that is not cut."""
    labels = f'{CARD},{host_label}="gpu-1",DCGM_FI_DRIVER_VERSION="550.127.08"'
    error = f'{labels},err_code="{xid}",err_msg="{error_label}"' if error_label else labels
    return f"""# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{{{labels}}} 1980
# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{{{labels}}} {temperature}
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{{labels}}} 118.253000
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{{{labels}}} {util}
# HELP DCGM_FI_DEV_XID_ERRORS Value of the last XID error encountered.
# TYPE DCGM_FI_DEV_XID_ERRORS gauge
DCGM_FI_DEV_XID_ERRORS{{{error}}} {xid}
# HELP DCGM_FI_DEV_FB_FREE Framebuffer memory free (in MiB).
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{{{labels}}} {free}
# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{{{labels}}} {81_000 - free}
# HELP DCGM_FI_DEV_FB_RESERVED Framebuffer memory reserved (in MiB).
# TYPE DCGM_FI_DEV_FB_RESERVED gauge
DCGM_FI_DEV_FB_RESERVED{{{labels}}} 559
# HELP DCGM_FI_DEV_ECC_DBE_VOL_TOTAL Total number of double-bit volatile ECC errors.
# TYPE DCGM_FI_DEV_ECC_DBE_VOL_TOTAL counter
DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{labels}}} {dbe}
# HELP DCGM_FI_DEV_ROW_REMAP_FAILURE Whether remapping of rows has failed
# TYPE DCGM_FI_DEV_ROW_REMAP_FAILURE gauge
DCGM_FI_DEV_ROW_REMAP_FAILURE{{{labels}}} 0
# HELP DCGM_FI_DEV_CLOCK_THROTTLE_REASONS Throttling reasons bitmask.
# TYPE DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gauge
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{{{labels}}} 1
# HELP DCGM_FI_DEV_MEMORY_TEMP Memory temperature (in C).
# TYPE DCGM_FI_DEV_MEMORY_TEMP gauge
DCGM_FI_DEV_MEMORY_TEMP{{{labels}}} 9223372036854775794
"""


MIG = f"""# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{{{CARD},hostname="gpu-2"}} 38
DCGM_FI_DEV_XID_ERRORS{{{CARD},hostname="gpu-2"}} 0
DCGM_FI_DEV_GPU_UTIL{{{CARD},hostname="gpu-2"}} 9223372036854775794
# HELP DCGM_FI_PROF_GR_ENGINE_ACTIVE Ratio of time the graphics engine is active.
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{CARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",hostname="gpu-2",pod="embedding-0"}} 0.830000
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{CARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="8",hostname="gpu-2"}} 0.000000
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{CARD},GPU_I_PROFILE="3g.40gb",GPU_I_ID="2",hostname="gpu-2",pod="tts-0"}} 0.000000
# HELP DCGM_FI_DEV_FB_FREE Framebuffer memory free (in MiB).
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{{{CARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",hostname="gpu-2",pod="embedding-0"}} 2207
DCGM_FI_DEV_FB_FREE{{{CARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="8",hostname="gpu-2"}} 9850
DCGM_FI_DEV_FB_FREE{{{CARD},GPU_I_PROFILE="3g.40gb",GPU_I_ID="2",hostname="gpu-2",pod="tts-0"}} 21000
# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{{{CARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",hostname="gpu-2",pod="embedding-0"}} 7669
DCGM_FI_DEV_FB_USED{{{CARD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="8",hostname="gpu-2"}} 12
DCGM_FI_DEV_FB_USED{{{CARD},GPU_I_PROFILE="3g.40gb",GPU_I_ID="2",hostname="gpu-2",pod="tts-0"}} 18500
"""
"""A card in three instances: one at work, one empty, one that shows no work with a model in its memory."""


def tf_serving(requests: int, queue_us: int, latency_us: int, model: str = "flights") -> str:
    """The page of a TensorFlow Serving with batching, after so many requests of such means."""
    return f"""# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{{model_name="{model}",API="predict",entrypoint="GRPC",le="10"}} 0
:tensorflow:serving:request_latency_bucket{{model_name="{model}",API="predict",entrypoint="GRPC",le="+Inf"}} {requests}
:tensorflow:serving:request_latency_sum{{model_name="{model}",API="predict",entrypoint="GRPC"}} {requests * latency_us}
:tensorflow:serving:request_latency_count{{model_name="{model}",API="predict",entrypoint="GRPC"}} {requests}
# TYPE :tensorflow:serving:batching_session:queuing_latency histogram
:tensorflow:serving:batching_session:queuing_latency_bucket{{model_name="{model}",le="+Inf"}} {requests}
:tensorflow:serving:batching_session:queuing_latency_sum{{model_name="{model}"}} {requests * queue_us}
:tensorflow:serving:batching_session:queuing_latency_count{{model_name="{model}"}} {requests}
"""
