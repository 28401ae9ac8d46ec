# For an Astro project, change this line to a runtime with Airflow 3.3, and leave the rest as it is.
FROM apache/airflow:3.3.2-python3.12

ENV PYTHONPATH=/opt/registry-prune
COPY requirements.lock /opt/registry-prune/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/registry-prune/requirements.lock

# What .dockerignore lets through: include, dags, plugins, and clusters.yaml if there is one. Or mount that file, and name
# it in REGISTRY_PRUNE_CLUSTERS for every process of Airflow.
COPY --chown=airflow:0 . /opt/registry-prune/
# Else each task would compile it anew, before its work: half a second of CPU.
RUN python -m compileall -q /opt/registry-prune/include /opt/registry-prune/dags /opt/registry-prune/plugins

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/registry-prune/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/registry-prune/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
