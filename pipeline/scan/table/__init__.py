"""The verdict table: its partitions, lease, sinks, compaction, views and selections."""
