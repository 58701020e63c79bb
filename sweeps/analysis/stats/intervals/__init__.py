"""From one value per replicate or block to an interval, a test and a verdict. Pure."""
