"""Runs a real Airflow on this machine for one registry prune, or keeps one running to look at.

A tool for people: ``python -m local_airflow run|up|down|status``. It knows the project only by Airflow's
REST API, the sandbox's command line and the settings that it hands to both.
"""
