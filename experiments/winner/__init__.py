"""Is a search worth its time: its winner against a plain script that had as long."""
