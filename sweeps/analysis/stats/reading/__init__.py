"""What a sweep set out to estimate, and its rows as one value per replicate or block. Pure."""
