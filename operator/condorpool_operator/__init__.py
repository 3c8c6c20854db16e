"""Turns one CondorPool object into a whole HTCondor pool on Kubernetes."""
