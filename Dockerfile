# Two images from one file: `web` serves the portal and holds no machine-learning library, `worker` runs the agents.
#
#   docker build --target web .
#   docker build --target worker .

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

# On x86-64 the plain torch of this lock comes with CUDA, so the same image serves CPU and GPU workers.
FROM base AS worker
# triton compiles its kernels when they are first used.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements/worker.txt requirements/
RUN pip install --requirement requirements/worker.txt
COPY . .
# Children write no bytecode: without this each would compile Lathe's own code anew.
RUN python -m compileall -q apps platform
USER lathe
VOLUME /var/lib/lathe
# A worker that cannot reach its broker does no work. A dead process of its own ends it, so that it is started anew.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import os, redis; redis.from_url(os.environ['REDIS_URL']).ping()"]
CMD ["python", "manage.py", "worker"]
