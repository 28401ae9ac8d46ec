# For an Astro project, change this line to a runtime with Airflow 3.3, and leave the rest as it is.
FROM apache/airflow:3.3.2-python3.12

ENV PYTHONPATH=/opt/registry-prune
COPY requirements.lock /opt/registry-prune/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/registry-prune/requirements.lock

COPY include/ /opt/registry-prune/include/
COPY dags/ /opt/registry-prune/dags/
COPY plugins/ /opt/registry-prune/plugins/

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/registry-prune/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/registry-prune/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
