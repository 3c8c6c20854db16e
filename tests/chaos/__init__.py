"""Thousands of jobs while everything is killed, paused, scaled and edited: what they and their users saw, and whether it was right."""
