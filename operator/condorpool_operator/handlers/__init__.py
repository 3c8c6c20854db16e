"""What kopf calls: the only rooms that know it. They put keys on the queue and do nothing else."""
