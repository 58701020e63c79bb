"""What a report says, a section or a few to a file, and the order that they are read in."""
