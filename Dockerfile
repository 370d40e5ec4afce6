# Three images from one file: `web` serves the portal and holds no machine-learning library, `worker-cpu` and `worker-gpu`
# run the agents.
#
#   docker build --target web .
#   docker build --target worker-cpu .
#   docker build --target worker-gpu .

FROM python:3.11-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/lathe/platform:/lathe \
    DJANGO_SETTINGS_MODULE=lathe.settings \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    LATHE_VAR_DIR=/var/lib/lathe
RUN useradd --system --uid 10001 --home-dir /var/lib/lathe --create-home lathe
WORKDIR /lathe

FROM base AS web
COPY requirements/web.txt requirements/
RUN pip install --requirement requirements/web.txt
COPY . .
USER lathe
VOLUME /var/lib/lathe
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/', timeout=4)"]
CMD ["uvicorn", "lathe.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-proxy-headers"]

FROM base AS worker-cpu
# The package index has torch for x86-64 with CUDA, which is of no use here and some gigabytes large. PyTorch's own index has
# the build for CPUs, whose version satisfies the same pin.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements/worker-cpu.txt requirements/
RUN pip install --extra-index-url "$TORCH_INDEX" --requirement requirements/worker-cpu.txt
COPY . .
# Children write no bytecode: without this each would compile Lathe's own code anew.
RUN python -m compileall -q apps platform
USER lathe
VOLUME /var/lib/lathe
# A worker that cannot reach its broker does no work. A dead process of its own ends it, so that it is started anew.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import os, redis; redis.from_url(os.environ['REDIS_URL']).ping()"]
CMD ["python", "manage.py", "worker"]

# CUDA's libraries come with the lock, and the driver from the host (NVIDIA Container Toolkit).
FROM base AS worker-gpu
# triton compiles its kernels when they are first used.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements/worker-gpu.txt requirements/
RUN pip install --requirement requirements/worker-gpu.txt
COPY . .
RUN python -m compileall -q apps platform
USER lathe
VOLUME /var/lib/lathe
# nvidia-smi describes the devices; CUDA computes.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-c", "import os, redis; redis.from_url(os.environ['REDIS_URL']).ping()"]
CMD ["python", "manage.py", "worker"]
