"""Helpers of the end-to-end tests: kubectl, pools, jobs, ssh, bounded waits, evidence."""
