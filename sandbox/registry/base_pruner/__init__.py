"""The stand-in for `oc adm prune images`, the base prune."""
