"""A real Argo CD beside a cluster, for tests and for trying things out: `PYTHONPATH=hack python -m argocd up`."""
