"""What the tables of a sweep support: refusals, effects, findings, descriptions; nothing is drawn here."""
