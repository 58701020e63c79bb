"""What a sweep supports: an effect for each planned contrast with its caveats, or the reasons for none."""
