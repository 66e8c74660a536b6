"""All I/O of the operator: the Kubernetes API and the bots' own reports. Decides nothing about bots."""
