"""What a plan will take and can say, told before it runs: trials, time, memory, disk and power."""
