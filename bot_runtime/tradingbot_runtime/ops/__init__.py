"""How people and programs see a running bot: probes, metrics, status, logs. Decides nothing."""
